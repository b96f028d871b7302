"""Greedy and beam output against Hugging Face's `generate`: the same ids."""

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig

PAD, EOS = 3, 2
N_PROMPTS = 20
GEOMETRIES = {
    "3 heads": dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3),
    "8 heads, post-norm residual": dict(
        vocab_size=61, hidden_size=32, n_layer=3, n_head=8, apply_residual_connection_post_layernorm=True
    ),
    "5 heads": dict(vocab_size=43, hidden_size=40, n_layer=2, n_head=5),
}
SETTINGS = {
    "greedy": {},
    "2 beams": dict(num_beams=2),
    "3 beams, longer": dict(num_beams=3, length_penalty=2.0),
    "4 beams, shorter": dict(num_beams=4, length_penalty=-1.0),
    "4 beams, early": dict(num_beams=4, early_stopping=True, num_return_sequences=4),
    "3 beams, never early": dict(num_beams=3, early_stopping="never", length_penalty=0.5),
    "repetition penalty": dict(repetition_penalty=1.5),
    "3 beams, repetition penalty": dict(num_beams=3, repetition_penalty=1.3, num_return_sequences=2),
    "no repeated bigram": dict(no_repeat_ngram_size=2),
    "2 beams, no repeated trigram": dict(num_beams=2, no_repeat_ngram_size=3),
    "minimum of new pieces": dict(min_new_tokens=8),
    "3 beams, minimum length": dict(num_beams=3, min_length=15),
    "bad words": dict(bad_words_ids=[[5], [10, 11], [20, 21, 22]], num_beams=2),
    "forced end": dict(forced_eos_token_id=EOS),
    "several ends": dict(eos_token_id=[EOS, 17, 30], num_beams=3),
}


@pytest.fixture(scope="module", params=sorted(GEOMETRIES))
def twins(request, randomize):
    fields = {**GEOMETRIES[request.param], "pad_token_id": PAD, "eos_token_id": EOS}
    theirs = randomize(transformers.BloomForCausalLM(transformers.BloomConfig(**fields)), std=0.15).eval()
    ours = spacy_bloom.BloomForCausalLM(BloomConfig(**fields)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def draw_prompt(number, vocab_size, length):
    return torch.randint(4, vocab_size, (1, length), generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_ids(twins, setting):
    ours, theirs = twins
    options = {"max_new_tokens": 16, "eos_token_id": EOS, "pad_token_id": PAD, **SETTINGS[setting]}
    for number in range(N_PROMPTS):
        ids = draw_prompt(number, ours.config.vocab_size, 3 + number % 9)
        expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
        found = ours.generate(ids, **options)
        assert torch.equal(found, expected), f"prompt {number}"


def test_texts_end_at_any_length(twins):
    """What is compared holds texts that end by themselves and texts that are cut."""
    ours, _ = twins
    ids = torch.cat([draw_prompt(number, ours.config.vocab_size, 6) for number in range(100)])
    found = ours.generate(ids, max_new_tokens=16, eos_token_id=[EOS, 17, 30])[:, 6:]
    lengths = {(row != PAD).sum().item() for row in found}
    assert min(lengths) < max(lengths) == 16


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_a_batch_gives_what_each_prompt_gives_alone(twins, setting):
    ours, _ = twins
    options = {"max_new_tokens": 16, **SETTINGS[setting]}
    prompts = [draw_prompt(n, ours.config.vocab_size, 3 + n % 9)[0].tolist() for n in range(N_PROMPTS)]
    longest = max(map(len, prompts))
    n = options.get("num_return_sequences", 1)
    alone = [ours.generate(torch.tensor([prompt]), **options)[:, len(prompt) :] for prompt in prompts]
    for left in (True, False):
        ids, mask = torch.full((N_PROMPTS, longest), PAD), torch.zeros(N_PROMPTS, longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            place = slice(longest - len(prompt), None) if left else slice(len(prompt))
            ids[row, place], mask[row, place] = torch.tensor(prompt), 1
        for given in (mask, None):  # without a mask, padding is told by its id
            found = ours.generate(ids, given, **options)[:, longest:]
            for rows, expected in zip(found.split(n), alone, strict=True):
                assert torch.equal(rows[:, : expected.shape[1]], expected)
                assert (rows[:, expected.shape[1] :] == PAD).all()


@pytest.mark.parametrize("most, longest", [(1, 1), (3, 2), (10, 3)])
@pytest.mark.parametrize("setting", ["greedy", "no repeated bigram", "minimum of new pieces"])
def test_drafts_change_no_id(twins, setting, most, longest):
    ours, _ = twins
    options = {"max_new_tokens": 30, **SETTINGS[setting]}
    drafts = dict(prompt_lookup_num_tokens=most, max_matching_ngram_size=longest)
    prompts = [draw_prompt(n, ours.config.vocab_size, 3 + n % 9) for n in range(N_PROMPTS)]
    alone = [ours.generate(prompt, **options)[0, prompt.shape[1] :] for prompt in prompts]
    for prompt, expected in zip(prompts, alone, strict=True):
        assert torch.equal(ours.generate(prompt, **options, **drafts)[0, prompt.shape[1] :], expected)
    pieces: list[list[int]] = [[] for _ in prompts]
    for step in ours.generate_stream([p[0].tolist() for p in prompts], **options, **drafts):
        pieces[step.prompt] += step.pieces
    assert pieces == [row.tolist() for row in alone]
