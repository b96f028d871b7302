"""Greedy and beam output against Hugging Face's `generate`: the same ids."""

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig

PAD, EOS = 3, 2
N_PROMPTS = 8  # for each geometry; together they have all lengths from 3 to 11
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


@pytest.fixture(scope="module")
def prompts(twins):
    first, vocab_size = twins[0].config.n_head * N_PROMPTS, twins[0].config.vocab_size
    return [draw_prompt(n, vocab_size, 3 + n % 9) for n in range(first, first + N_PROMPTS)]


@pytest.fixture(scope="module")
def alone(twins, prompts):
    """A function from the name of a setting to what our model gives for each prompt alone, computed once."""
    made = {}

    def generate(setting, n_new=16):
        if (setting, n_new) not in made:
            options = {"max_new_tokens": n_new, **SETTINGS[setting]}
            made[setting, n_new] = [twins[0].generate(prompt, **options) for prompt in prompts]
        return made[setting, n_new]

    return generate


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_ids(twins, prompts, alone, setting):
    _, theirs = twins
    options = {"max_new_tokens": 16, "eos_token_id": EOS, "pad_token_id": PAD, **SETTINGS[setting]}
    for number, (ids, found) in enumerate(zip(prompts, alone(setting), strict=True)):
        expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
        assert torch.equal(found, expected), f"prompt {number}"


def test_texts_end_at_any_length(twins):
    """What is compared holds texts that end by themselves and texts that are cut."""
    ours, _ = twins
    ids = torch.cat([draw_prompt(number, ours.config.vocab_size, 6) for number in range(100)])
    found = ours.generate(ids, max_new_tokens=16, eos_token_id=[EOS, 17, 30])[:, 6:]
    lengths = {(row != PAD).sum().item() for row in found}
    assert min(lengths) < max(lengths) == 16


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_a_batch_gives_what_each_prompt_gives_alone(twins, prompts, alone, setting):
    ours, _ = twins
    options = {"max_new_tokens": 16, **SETTINGS[setting]}
    lengths = [prompt.shape[1] for prompt in prompts]
    longest = max(lengths)
    n = options.get("num_return_sequences", 1)
    new = [rows[:, length:] for rows, length in zip(alone(setting), lengths, strict=True)]
    for left in (True, False):
        ids, mask = torch.full((N_PROMPTS, longest), PAD), torch.zeros(N_PROMPTS, longest, dtype=torch.long)
        for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            place = slice(longest - length, None) if left else slice(length)
            ids[row, place], mask[row, place] = prompt[0], 1
        for given in (mask, None):  # without a mask, padding is told by its id
            found = ours.generate(ids, given, **options)[:, longest:]
            for rows, expected in zip(found.split(n), new, strict=True):
                assert torch.equal(rows[:, : expected.shape[1]], expected)
                assert (rows[:, expected.shape[1] :] == PAD).all()


@pytest.mark.parametrize("most, longest", [(1, 1), (10, 3)])
@pytest.mark.parametrize("setting", ["greedy", "no repeated bigram", "minimum of new pieces"])
def test_drafts_change_no_id(twins, prompts, alone, setting, most, longest):
    ours, _ = twins
    options = {"max_new_tokens": 30, **SETTINGS[setting]}
    drafts = dict(prompt_lookup_num_tokens=most, max_matching_ngram_size=longest)
    for prompt, expected in zip(prompts, alone(setting, 30), strict=True):
        assert torch.equal(ours.generate(prompt, **options, **drafts), expected)
    pieces: list[list[int]] = [[] for _ in prompts]
    for step in ours.generate_stream([p[0].tolist() for p in prompts], **options, **drafts):
        pieces[step.prompt] += step.pieces
    new = [rows[0, prompt.shape[1] :] for prompt, rows in zip(prompts, alone(setting, 30), strict=True)]
    assert pieces == [row.tolist() for row in new]
