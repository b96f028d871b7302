import pytest
import torch

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.generation.batches import batch_prompts, encode_prompts, generate_batched
from spacy_bloom.generation.causal_lm import piece_bytes
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.constraints.byte_spans import Choice

TEXTS = ["The river was high", "", "今天", "a", "def add(a, b):\n    return a + b  # the sum", "</s> x", "a"]
CONFIGS = {
    "greedy": GenerationConfig(max_new_tokens=6),
    "sampled": GenerationConfig(max_new_tokens=6, do_sample=True, seed=5, num_return_sequences=3),
    "beams": GenerationConfig(max_new_tokens=4, num_beams=3, num_return_sequences=2),
    "max_length": GenerationConfig(max_length=40),
    "seeds": GenerationConfig(
        max_new_tokens=6, do_sample=True, temperature=2.0, seed=tuple(range(len(TEXTS)))
    ),
}


@pytest.fixture(scope="module")
def model(checkpoint):
    return BloomForCausalLM.from_pretrained(checkpoint).eval()


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


@pytest.fixture
def calls(model, monkeypatch):
    """The prompts of every call of generate_stream."""
    found = []
    stream = model.generate_stream

    def spy(prompts, **options):
        found.append([list(prompt) for prompt in prompts])
        return stream(prompts, **options)

    monkeypatch.setattr(model, "generate_stream", spy)
    return found


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_batches_equal_one_by_one(model, tokenizer, calls, name):
    config, prompts = CONFIGS[name], encode_prompts(tokenizer, TEXTS)
    alone = []
    for p, prompt in enumerate(prompts):
        own = config.replace(seed=config.seed[p]) if isinstance(config.seed, tuple) else config
        alone += generate_batched(model, tokenizer, [prompt], own, max_batch_items=1)
    assert len({found[0].pieces for found in alone}) > 3  # the comparison says something
    for budget in (1, 100, 10_000):
        calls.clear()
        found = generate_batched(model, tokenizer, prompts, config, max_batch_items=budget)
        assert [[s.pieces for s in of] for of in found] == [[s.pieces for s in of] for of in alone]
        assert [[s.text for s in of] for of in found] == [[s.text for s in of] for of in alone]
        assert [[s.finished for s in of] for of in found] == [[s.finished for s in of] for of in alone]
        assert len(calls) == {1: len(TEXTS), 10_000: 1}.get(budget, len(calls))
        assert {len(of) for of in found} == {config.num_return_sequences}


def test_equals_generate(model, tokenizer):
    prompt = encode_prompts(tokenizer, ["The river"])[0]
    ids = model.generate(torch.tensor([prompt]), max_new_tokens=6)[0].tolist()
    ((found,),) = generate_batched(model, tokenizer, [prompt], CONFIGS["greedy"], max_batch_items=100)
    assert list(found.pieces) == ids[len(prompt) :]
    assert found.text == tokenizer.decode(found.pieces, skip_special_tokens=True)
    assert found.finished == "length" and found.score is None


def test_beams_have_scores(model, tokenizer):
    prompts = encode_prompts(tokenizer, TEXTS[:2])
    for beams in generate_batched(model, tokenizer, prompts, CONFIGS["beams"], max_batch_items=100):
        assert [beam.score for beam in beams] == sorted((beam.score for beam in beams), reverse=True)


def test_an_empty_prompt_begins_with_the_end_of_a_text(model, tokenizer, calls):
    config = CONFIGS["greedy"]
    found = generate_batched(model, tokenizer, [[], [tokenizer.eos_token_id]], config, max_batch_items=99)
    assert calls == [[[tokenizer.eos_token_id]] * 2]
    assert found[0][0].pieces == found[1][0].pieces and [own[0].prompt for own in found] == [0, 1]
    assert generate_batched(model, tokenizer, [], config, max_batch_items=99) == []


def test_control_tokens_in_prompts_are_text(tokenizer):
    (ids,) = encode_prompts(tokenizer, ["a</s><pad>"])
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == "a</s><pad>"


def test_a_prompt_may_end_in_eos_or_a_stop_string(model, tokenizer):
    prompt = encode_prompts(tokenizer, ["The river"])[0]
    ((free,),) = generate_batched(model, tokenizer, [prompt], CONFIGS["greedy"], max_batch_items=100)
    ended = CONFIGS["greedy"].replace(eos_token_id=free.pieces[2])
    ((found,),) = generate_batched(model, tokenizer, [prompt], ended, max_batch_items=100)
    assert found.pieces == free.pieces[: free.pieces.index(free.pieces[2]) + 1] and found.finished == "eos"
    stopped = CONFIGS["greedy"].replace(stop_strings=free.text[:2])
    ((found,),) = generate_batched(model, tokenizer, [prompt], stopped, max_batch_items=100)
    assert found.finished == "stop_string" and free.text[:2] in found.text
    assert free.text.startswith(found.text)
    assert found.text_before(["never there", free.text[:2]]) == ""
    assert free.text_before([free.text[:2]]) == free.text  # it was not what ended it


def test_processors_hold_for_every_batch(model, tokenizer):
    choice = Choice(["yes", "no"], piece_bytes(tokenizer), tokenizer.eos_token_id)
    prompts = encode_prompts(tokenizer, TEXTS)
    config = GenerationConfig(max_new_tokens=12)
    found = generate_batched(
        model, tokenizer, prompts, config, max_batch_items=40, processors=[choice] * len(prompts)
    )
    assert {of[0].text for of in found} <= {"yes", "no"}
    assert {of[0].finished for of in found} == {"eos"}


def test_every_prompt_has_a_processor_of_its_own(model, tokenizer):
    """Equal prompts too, in any batch."""
    words = ["yes", "no", "perhaps", "never"]
    pieces, eos = piece_bytes(tokenizer), tokenizer.eos_token_id
    choices = [Choice([word], pieces, eos) for word in words]
    prompts = encode_prompts(tokenizer, ["The river", "The river", "a", "The river"])
    for config in (GenerationConfig(max_new_tokens=12), GenerationConfig(max_new_tokens=12, num_beams=2)):
        for budget in (1, 40, 10_000):
            found = generate_batched(
                model, tokenizer, prompts, config, max_batch_items=budget, processors=choices
            )
            assert [own[0].text for own in found] == words


# Batches


def test_batches_stay_under_the_budget():
    lengths = [5, 30, 1, 12, 30, 7, 100]
    config = GenerationConfig(max_new_tokens=10)
    batches = list(batch_prompts(lengths, config, 80))
    assert sorted(p for batch in batches for p in batch) == list(range(len(lengths)))
    assert batches == [[6], [1, 4], [3, 5, 0], [2]]
    assert all(
        len(batch) * (max(lengths[p] for p in batch) + 10) <= 80 for batch in batches if len(batch) > 1
    )


@pytest.mark.parametrize("option", ["num_beams", "num_return_sequences"])
def test_every_sequence_counts(option):
    config = GenerationConfig(max_new_tokens=10, do_sample=option != "num_beams", **{option: 4})
    assert [len(batch) for batch in batch_prompts([10] * 5, config, 160)] == [2, 2, 1]


def test_max_length_counts_the_prompt():
    config = GenerationConfig(max_length=21)
    assert [len(batch) for batch in batch_prompts([10, 20, 1], config, 42)] == [2, 1]
    with pytest.raises(InputError, match="max_length=21 pieces, got 21"):
        list(batch_prompts([10, 21], config, 42))


def test_errors(model, tokenizer):
    with pytest.raises(ConfigError, match="budget of 1 piece or more for a batch of prompts, got 0"):
        generate_batched(model, tokenizer, [[5]], CONFIGS["greedy"], max_batch_items=0)
    with pytest.raises(InputError, match="each of 2 prompts, got 7 seeds"):
        generate_batched(model, tokenizer, [[5], [6]], CONFIGS["seeds"], max_batch_items=99)
