"""Best pieces by an int8 copy of the head are those of the exact head, and few of them are multiplied exactly."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.lm_head import LinearLMHead
from spacy_bloom.quantization.half import HalfWeights
from spacy_bloom.quantization.quantize import quantize
from spacy_bloom.quantization.shortlist import (
    MOST_ROWS,
    ROUNDING,
    Int8Copy,
    Shortlist,
    _copies,
    has_shortlist,
    row_sums,
)

HIDDEN, VOCABULARY = 64, 2000


def make(**changes):
    torch.manual_seed(0)
    fields = (
        dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, n_layer=2, n_head=4, initializer_range=0.2) | changes
    )
    model = BloomForCausalLM(BloomConfig(**fields)).eval()
    with torch.no_grad():
        model.transformer.ln_f.weight.uniform_(0.5, 3)
    return model


def draw(rows, *, seed=0, outliers=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, HIDDEN, generator=generator)
    values[:, torch.randperm(HIDDEN, generator=generator)[:outliers]] *= 50
    return values


def allow(scores):
    return scores


@pytest.fixture
def computed(monkeypatch):
    """How many exact scores of each row are computed, on average."""
    counts = []
    everything, some = LinearLMHead.logits, Shortlist._exact

    def logits(self, hidden, **options):
        counts.append(self.vocab_size)
        return everything(self, hidden, **options)

    def exact(self, rows, places, pieces):
        counts.append(len(pieces) / len(rows))
        return some(self, rows, places, pieces)

    monkeypatch.setattr(LinearLMHead, "logits", logits)
    monkeypatch.setattr(Shortlist, "_exact", exact)
    return counts


@pytest.mark.parametrize("outliers", [0, 3])
@pytest.mark.parametrize("columns", [[], [1, 5, 40]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_product_is_farther_off_than_said(dtype, columns, outliers):
    weight = torch.cat((draw(VOCABULARY, outliers=outliers), draw(5, seed=1) * 1e-4, torch.zeros(2, HIDDEN)))
    weight = weight.to(dtype)
    rows = torch.cat((draw(6, seed=2, outliers=outliers), draw(1, seed=3) * 1e-3, torch.zeros(1, HIDDEN)))
    scores, reach = Int8Copy.of(weight, torch.tensor(columns, dtype=torch.long)).estimate(rows)
    exact = rows.double() @ weight.double().T
    assert ((scores.double() - exact).abs() <= reach.double()).all()
    if not outliers:  # the bound is of use
        assert (reach <= 0.03 * rows.norm(dim=1)[:, None] * weight.float().norm(dim=1) + ROUNDING).all()


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 3, 8, MOST_ROWS, MOST_ROWS + 1])
def test_the_best_piece_is_the_exact_heads(kind, rows):
    model = make() if kind == "float32" else HalfWeights(getattr(torch, kind)).quantize(make())
    shortlist = Shortlist(model)
    with torch.inference_mode():
        for seed in range(10):
            hidden = draw(rows, seed=seed, outliers=2)
            expected = model.lm_head.logits(hidden).argmax(dim=1)
            assert torch.equal(shortlist.best(hidden, allow), expected)


def test_few_pieces_are_computed(computed):
    model = make()
    Shortlist(model).best(draw(2), allow)
    assert len(computed) == 1 and computed[0] <= VOCABULARY / 16
    Shortlist(model).best(draw(MOST_ROWS + 1), allow)
    assert computed[1:] == [VOCABULARY]


def test_pieces_that_cannot_be_told_apart_are_all_computed(computed):
    model = make()
    with torch.no_grad():
        model.lm_head.weight[:] = draw(1)
    assert Shortlist(model).best(draw(2, seed=1), allow).tolist() == [0, 0]
    assert computed == [VOCABULARY]


def test_of_equal_pieces_the_first_is_chosen():
    model, hidden = make(), draw(1)
    with torch.no_grad():
        best = model.lm_head.logits(hidden).argmax()
        model.lm_head.weight[[7, 1500]] = model.lm_head.weight[best].clone()
    first, more = min(7, int(best)), draw(5, seed=1)
    for rows in (hidden, torch.cat((more, hidden)), torch.cat((hidden, more))):
        place = 5 if len(rows) > 1 and torch.equal(rows[5:], hidden) else 0
        assert Shortlist(model).best(rows, allow)[place] == first


def test_forbidden_pieces_are_not_chosen():
    model, hidden = make(), draw(3)

    def forbid(scores):
        scores[0, : VOCABULARY // 2] = -torch.inf
        scores[1, VOCABULARY // 2 :] = -torch.inf
        scores[2, 1:] = -torch.inf
        return scores

    expected = forbid(model.lm_head.logits(hidden).detach()).argmax(dim=1)
    assert torch.equal(Shortlist(model).best(hidden, forbid), expected) and expected[2] == 0


def test_what_is_generated_is_the_same(computed):
    model = make(eos_token_id=2)
    prompts = [[5, 6, 7], [9] * 20, [300, 4]]

    def pieces(**options):
        del computed[:]
        found = [step.pieces for step in model.generate_stream(prompts, max_new_tokens=12, **options)]
        return found, max(computed)

    for options in ({}, {"min_new_tokens": 12}, {"no_repeat_ngram_size": 2}, {"prompt_lookup_num_tokens": 3}):
        expected, everything = pieces(**options)
        found, most = pieces(shortlist=True, **options)
        assert found == expected
        assert everything == VOCABULARY > most, options
    for options in ({"repetition_penalty": 1.3}, {"do_sample": True, "seed": 1}, {"num_beams": 2}):
        assert pieces(shortlist=True, **options) == pieces(**options), "what is chosen depends on all scores"


def test_copies_are_made_once_and_again_for_other_weights():
    model, hidden = make(), draw(1)
    weight = model.lm_head.weight
    copy = Shortlist(model).copy
    assert Shortlist(model).copy is copy
    assert Shortlist(make()).copy is copy, "of equal weights"
    changes = [
        lambda: weight.requires_grad_(False).neg_(),
        lambda: weight.data.copy_(weight.flip(0)),
        lambda: weight.data[3].mul_(30),
        lambda: numpy.negative(weight.detach().numpy(), out=weight.detach().numpy()),
    ]
    for change in changes:
        change()
        assert torch.equal(Shortlist(model).best(hidden, allow), model.lm_head.logits(hidden).argmax(dim=1))
    gc.collect()
    before = len(_copies)
    del model
    gc.collect()
    assert len(_copies) == before - 1


def test_which_heads_have_one():
    assert has_shortlist(make().lm_head)
    assert has_shortlist(HalfWeights(torch.float16).quantize(make()).lm_head)
    assert not has_shortlist(quantize(make()).lm_head), "it is one itself"
    assert not has_shortlist(make().to(torch.bfloat16).lm_head), "its scores are rounded"
    assert not has_shortlist(make().to("meta").lm_head)
    model = quantize(make())
    prompt = torch.tensor([[5, 6, 7]])
    assert torch.equal(model.generate(prompt, shortlist=True), model.generate(prompt))


@pytest.mark.parametrize("size", [64, 61])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_change_of_a_row_changes_its_sum(dtype, size):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, size, generator=generator).to(dtype)
    before = row_sums(weight)
    assert torch.equal(row_sums(weight.clone()), before)
    whole = torch.cat((torch.zeros(1), weight.flatten().float())).to(dtype)
    assert torch.allclose(
        row_sums(whole[1:].view(300, size)).double().sum(), weight.double().sum(), atol=1e-2
    )
    for change in (lambda row: row.neg_(), lambda row: row.mul_(1.02), lambda row: row[5].add_(0.1)):
        changed = weight.clone()
        change(changed[7])
        assert (row_sums(changed) != before).nonzero().tolist() == [[7]]


def test_numbers_out_of_the_ordinary():
    model = make(tie_word_embeddings=False)
    weight = model.lm_head.weight.data
    for factor in (1e-24, 1e30):
        weight.mul_(factor)
        rows = draw(4, seed=4)
        assert torch.equal(Shortlist(model).best(rows, allow), model.lm_head.logits(rows).argmax(dim=1))
        weight.div_(factor)
    for rows in (torch.stack((draw(1)[0] * 1e20, draw(1)[0])), torch.stack((draw(1)[0] * 0, draw(1)[0]))):
        with torch.no_grad():
            assert torch.equal(Shortlist(model).best(rows, allow), model.lm_head.logits(rows).argmax(dim=1))
    weight[9, 3] = torch.inf  # a score of inf, or of -inf
    prompts = [[5, 6, 7]]
    expected = list(model.generate_stream(prompts, max_new_tokens=3, eos_token_id=None))
    assert (
        list(model.generate_stream(prompts, max_new_tokens=3, eos_token_id=None, shortlist=True)) == expected
    )


def test_under_autocast_scores_are_rounded_as_without():
    model = make(initializer_range=0.05)
    prompts = torch.randint(5, VOCABULARY, (8, 6), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.generate(prompts, shortlist=True), model.generate(prompts))


def test_models_made_in_other_modes():
    with torch.inference_mode():
        model = make()
    assert torch.equal(model.generate(shortlist=True, eos_token_id=None), model.generate(eos_token_id=None))
    torch.set_default_dtype(torch.float64)
    try:
        model = make().float()
        assert torch.equal(
            model.generate(shortlist=True, eos_token_id=None), model.generate(eos_token_id=None)
        )
    finally:
        torch.set_default_dtype(torch.float32)


def test_threads_share_one_copy():
    model = make()
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: Shortlist(model).copy, range(4)))
    assert len({id(copy) for copy in copies}) == 1


def test_a_processor_may_promote():
    model = make()

    class Promoting:
        only_forbids = True

        def __call__(self, rows, scores):
            mask = numpy.zeros(VOCABULARY)
            mask[:100] = -numpy.inf
            return scores + torch.from_numpy(mask)

    options = dict(max_new_tokens=5, eos_token_id=None, logits_processor=[Promoting()])
    expected = list(model.generate_stream([[5, 6]], **options))
    assert list(model.generate_stream([[5, 6]], shortlist=True, **options)) == expected
