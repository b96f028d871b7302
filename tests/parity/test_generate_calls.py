"""`generate` as Hugging Face's users call it: the same ids, and the same numbers of each step."""

from threading import Thread

import pytest
import torch
import transformers
from transformers.generation import logits_process, stopping_criteria

import spacy_bloom
from spacy_bloom import BloomConfig, BloomTokenizerFast
from spacy_bloom.errors import BloomError

FIELDS = dict(
    vocab_size=97, hidden_size=32, n_layer=2, n_head=4, pad_token_id=3, eos_token_id=2, bos_token_id=1
)


def twin(randomize, **changes):
    fields = {**FIELDS, **changes}
    theirs = randomize(transformers.BloomForCausalLM(transformers.BloomConfig(**fields)), std=0.15).eval()
    ours = spacy_bloom.BloomForCausalLM(BloomConfig(**fields)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.fixture(scope="module")
def twins(randomize):
    return twin(randomize)


@pytest.fixture(scope="module")
def assistants(randomize):
    return twin(randomize, n_layer=1)


@pytest.fixture(scope="module")
def batch():
    """Three prompts, two of them padded on the left; no piece is an end."""
    ids = torch.randint(4, 97, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for row, padding in enumerate((3, 0, 1)):
        ids[row, :padding], mask[row, :padding] = 3, 0
    return {"input_ids": ids, "attention_mask": mask}


def tensors(values):
    if isinstance(values, torch.Tensor):
        return [values]
    return [tensor for part in values or () for tensor in tensors(part)]


def expect_same(ours, theirs, leave_out=()):
    """All fields of two outputs are the same: ids and places exactly, numbers within 1e-4."""
    assert torch.equal(ours.sequences, theirs.sequences)
    for name in list(theirs):
        if name in ("sequences", "past_key_values", *leave_out):
            continue
        found, expected = tensors(ours[name]), tensors(theirs[name])
        assert [x.shape for x in found] == [x.shape for x in expected], name
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, check_dtype=False, msg=name)
    assert [key for key in ours if key in theirs] == list(theirs)


EVERYTHING = dict(
    return_dict_in_generate=True,
    output_scores=True,
    output_logits=True,
    output_attentions=True,
    output_hidden_states=True,
    max_new_tokens=9,
)
SEARCHES = {
    "greedy": {},
    "no cache": dict(use_cache=False),
    "3 beams": dict(num_beams=3, num_return_sequences=2),
    "3 beams, shorter": dict(num_beams=3, num_return_sequences=3, length_penalty=0.3, max_new_tokens=20),
    "3 beams, early": dict(num_beams=3, early_stopping=True, max_new_tokens=20),
    "3 beams, never early": dict(num_beams=3, early_stopping="never", max_new_tokens=20),
    "contrastive": dict(penalty_alpha=0.6, top_k=4),
    "low layers": dict(dola_layers="low"),
    "high layers": dict(dola_layers="high"),
    "some layers": dict(dola_layers=[0, 1]),
    "a forced phrase": dict(num_beams=4, force_words_ids=[[5, 6], [9]], max_new_tokens=12),
    "a forced choice": dict(num_beams=4, force_words_ids=[[[9, 10], [11, 12, 13]]], max_new_tokens=12),
    "guidance": dict(guidance_scale=1.5),
    "default length": dict(max_new_tokens=None),
    "max_length": dict(max_new_tokens=None, max_length=12),
    "max_length as by default": dict(max_new_tokens=None, max_length=20),
}


@pytest.mark.parametrize("setting", SEARCHES)
def test_searches(twins, batch, setting):
    ours, theirs = (model.generate(**batch, **{**EVERYTHING, **SEARCHES[setting]}) for model in twins)
    expect_same(ours, theirs)


# Hugging Face counts the rows of one group from 0 in each group; ours are those of `scores`.
@pytest.mark.parametrize("n, groups, early", [(4, 2, False), (6, 3, True), (4, 4, "never")])
def test_groups_of_beams(twins, batch, n, groups, early):
    options = dict(num_beams=n, num_beam_groups=groups, diversity_penalty=0.7, early_stopping=early)
    options = {**EVERYTHING, **options, "num_return_sequences": 3, "max_new_tokens": 14}
    ours, theirs = (model.generate(**batch, **options) for model in twins)
    expect_same(ours, theirs, leave_out=["beam_indices"])
    chosen = twins[0].compute_transition_scores(ours.sequences, ours.scores, ours.beam_indices[:, :14])
    lengths = (ours.beam_indices >= 0).sum(1)
    # All are cut by the length: an end that is not fed has no place in the sequences.
    assert (lengths == 14).all()
    assert torch.allclose(_without_penalty(ours, chosen, options), ours.sequences_scores, atol=1e-4)


def _without_penalty(output, chosen, options):
    return chosen.sum(1) / options["max_new_tokens"]


def test_a_negative_prompt(twins, batch):
    negative = batch["input_ids"].flip(0)[:, 2:]
    options = dict(
        guidance_scale=2.0,
        negative_prompt_ids=negative,
        negative_prompt_attention_mask=torch.ones_like(negative),
    )
    ours, theirs = (model.generate(**batch, **EVERYTHING, **options) for model in twins)
    expect_same(ours, theirs)


OPTIONS = [
    dict(suppress_tokens=[5, 6, 20, 21]),
    dict(begin_suppress_tokens=[5, 9, 35, 90]),
    dict(sequence_bias={(5,): 3.0, (6, 7): 10.0, (20,): -2.0}),
    dict(sequence_bias=[[[5], 3.0], [[6, 7], 10.0]]),
    dict(renormalize_logits=True),
    dict(exponential_decay_length_penalty=(2, 1.5)),
    dict(remove_invalid_values=True),
    dict(repetition_penalty=1.4),
    dict(no_repeat_ngram_size=2),
    dict(min_new_tokens=9),
    dict(min_length=14),
    dict(bad_words_ids=[[5], [6, 7]]),
    dict(forced_eos_token_id=7),
]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_change_scores_as_there(twins, batch, options, beams):
    """Without padding: theirs count it as part of the prompt."""
    ids = batch["input_ids"][1:2]
    found = [m.generate(ids, **{**EVERYTHING, **options}, num_beams=beams) for m in twins]
    expect_same(*found)
    assert torch.equal(
        twins[0].generate(ids, max_new_tokens=9, num_beams=beams, **options), found[0].sequences
    )


@pytest.mark.parametrize(
    "options", [dict(encoder_repetition_penalty=1.5), dict(encoder_no_repeat_ngram_size=2)], ids=str
)
def test_options_about_the_prompt(twins, batch, options):
    expect_same(*(m.generate(batch["input_ids"][1:2], **EVERYTHING, **options) for m in twins))


SAMPLING = [
    {},
    dict(temperature=0.5),
    dict(top_k=5),
    dict(top_k=None),
    dict(top_p=0.5),
    dict(min_p=0.2),
    dict(typical_p=0.4),
    dict(epsilon_cutoff=0.02),
    dict(eta_cutoff=0.3),
    dict(num_beams=3, top_p=0.3),
    dict(num_return_sequences=2, top_k=4),
    dict(top_k=6, renormalize_logits=True),
]


@pytest.mark.parametrize("options", SAMPLING, ids=str)
def test_the_same_distribution_is_sampled(twins, batch, options):
    options = {**EVERYTHING, **options, "max_new_tokens": 1, "do_sample": True}
    ours, theirs = (model.generate(**batch, **options) for model in twins)
    torch.testing.assert_close(ours.scores[0], theirs.scores[0], atol=1e-4, rtol=1e-4)


def test_torchs_seed_decides(twins, batch):
    def draw(seed, **options):
        torch.manual_seed(seed)
        return twins[0].generate(**batch, do_sample=True, max_new_tokens=8, **options)

    assert torch.equal(draw(5), draw(5)) and not torch.equal(draw(5), draw(6))
    with_steps = draw(5, return_dict_in_generate=True).sequences
    assert torch.equal(draw(5), with_steps)  # the steps are the same


def same(twins, call):
    """The same ids from both. RETURNS: Ours."""
    ours, theirs = map(call, twins)
    assert torch.equal(ours, theirs)
    return ours


@pytest.mark.parametrize(
    "options",
    [
        dict(max_new_tokens=8),
        {},
        dict(max_length=15),
        dict(num_beams=3, max_new_tokens=8),
        dict(penalty_alpha=0.6, top_k=4, max_new_tokens=8),
    ],
    ids=str,
)
def test_embeddings_instead_of_ids(twins, batch, options):
    embeds = twins[1].transformer.word_embeddings(batch["input_ids"]).detach()
    mask = batch["attention_mask"]
    found = same(twins, lambda m: m.generate(inputs_embeds=embeds, attention_mask=mask, **options))
    both = same(twins, lambda m: m.generate(**batch, inputs_embeds=embeds, max_new_tokens=8))
    assert torch.equal(both[:, 7:], twins[0].generate(**batch, max_new_tokens=8)[:, 7:])
    assert found.shape[1] <= 13
    same(twins, lambda m: m.generate(inputs_embeds=embeds[1:2], max_new_tokens=4))


def test_embeddings_that_leave_no_room(twins):
    for model in twins:
        with pytest.raises(ValueError):
            model.generate(inputs_embeds=torch.zeros(1, 20, 32))


def test_no_input(twins):
    assert same(twins, lambda m: m.generate(max_new_tokens=5))[0, 0] == 1
    mask = torch.ones(2, 1, dtype=torch.long)
    assert same(twins, lambda m: m.generate(attention_mask=mask, max_new_tokens=5)).shape[0] == 2


@pytest.mark.parametrize("options", [{}, dict(return_legacy_cache=True)], ids=str)
def test_a_conversation_keeps_its_cache(twins, batch, options):
    def talk(model):
        first = model.generate(
            **batch, max_new_tokens=5, eos_token_id=None, return_dict_in_generate=True, **options
        )
        past = first.past_key_values
        if isinstance(past, tuple) and model is twins[1]:
            past = transformers.DynamicCache.from_legacy_cache(past)  # theirs no longer takes tuples
        ids = torch.cat((first.sequences, torch.tensor([[7, 8], [9, 10], [11, 12]])), dim=1)
        mask = torch.cat((batch["attention_mask"], torch.ones(3, 7, dtype=torch.long)), dim=1)
        return model.generate(ids, attention_mask=mask, past_key_values=past, max_new_tokens=6)

    ids = same(twins, talk)[:, :14]
    mask = torch.cat((batch["attention_mask"], torch.ones(3, 7, dtype=torch.long)), dim=1)
    anew = twins[0].generate(ids, attention_mask=mask, max_new_tokens=6)
    assert torch.equal(anew, same(twins, talk))
    beams = twins[0].generate(ids, attention_mask=mask, max_new_tokens=6, num_beams=2)
    first = twins[0].generate(**batch, max_new_tokens=5, eos_token_id=None, return_dict_in_generate=True)
    past = first.past_key_values
    assert torch.equal(
        twins[0].generate(ids, attention_mask=mask, past_key_values=past, max_new_tokens=6, num_beams=2),
        beams,
    )
    with pytest.raises(BloomError, match="go on after the 11 pieces of past_key_values, got 7"):
        twins[0].generate(batch["input_ids"], past_key_values=past)


def test_their_cache_grows_in_place(twins, batch):
    def talk(model):
        ids, past, lengths = batch["input_ids"][1:2], transformers.DynamicCache(), []
        for piece in (7, 8, 9):
            ids = model.generate(ids, past_key_values=past, max_new_tokens=4, eos_token_id=None)
            lengths.append(past.get_seq_length())
            ids = torch.cat((ids, torch.tensor([[piece]])), dim=1)
        return torch.cat((ids, torch.tensor([lengths])), dim=1)

    assert same(twins, talk)[0, -3:].tolist() == [10, 15, 20]


class Kept:
    def __init__(self):
        self.parts = []

    def put(self, pieces):
        self.parts.append(pieces.tolist())

    def end(self):
        self.parts.append("end")


@pytest.mark.parametrize(
    "options",
    [{}, dict(penalty_alpha=0.6, top_k=4), dict(dola_layers="low"), dict(do_sample=True, top_k=1)],
    ids=str,
)
def test_streamers(twins, batch, options):
    kept = []
    for model in twins:
        streamer = Kept()
        model.generate(**batch, streamer=streamer, max_new_tokens=5, **options)
        kept.append(streamer.parts)
    assert kept[0] == kept[1] and kept[0][0] == batch["input_ids"].tolist() and kept[0][-1] == "end"


def test_their_text_streamers(checkpoint, capsys):
    model = spacy_bloom.BloomForCausalLM.from_pretrained(checkpoint)
    theirs = transformers.BloomForCausalLM.from_pretrained(checkpoint)
    tokenizer = BloomTokenizerFast.from_pretrained(checkpoint)
    batch = tokenizer(["القطار يصل"], return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = tokenizer.decode(
        theirs.generate(ids, attention_mask=mask, max_new_tokens=12)[0, ids.shape[1] :]
    )
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
    thread = Thread(target=lambda: model.generate(ids, streamer=streamer, max_new_tokens=12))
    thread.start()
    assert "".join(streamer) == expected
    thread.join()
    model.generate(ids, streamer=transformers.TextStreamer(tokenizer, skip_prompt=True), max_new_tokens=12)
    assert capsys.readouterr().out == expected + "\n"


class EveryFifth(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] % 5 == 0


@pytest.mark.parametrize("options", [{}, dict(eos_token_id=None), dict(num_beams=3)], ids=str)
def test_stopping_criteria(twins, batch, options):
    criteria = transformers.StoppingCriteriaList([EveryFifth()])
    same(twins, lambda m: m.generate(**batch, stopping_criteria=criteria, max_new_tokens=12, **options))


def test_their_own_criteria(twins, batch):
    criteria = [stopping_criteria.MaxLengthCriteria(11), stopping_criteria.EosTokenCriteria(9)]
    assert same(twins, lambda m: m.generate(**batch, stopping_criteria=criteria)).shape[1] == 11


PROCESSORS = {
    "two": lambda: [
        logits_process.RepetitionPenaltyLogitsProcessor(1.5),
        logits_process.NoRepeatNGramLogitsProcessor(2),
    ],
    "a function": lambda: [lambda input_ids, scores: scores.roll(1, 1)],
    "in place of an option": lambda: [logits_process.SuppressTokensLogitsProcessor([16, 22, 35, 90])],
}


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", PROCESSORS)
def test_processors_called_with_ids(twins, batch, name, beams):
    def call(model):
        processors = transformers.LogitsProcessorList(PROCESSORS[name]())
        options = dict(suppress_tokens=[34], no_repeat_ngram_size=1, max_new_tokens=8, num_beams=beams)
        return model.generate(**batch, logits_processor=processors, **options)

    same(twins, call)


@pytest.mark.parametrize("beams", [1, 3])
def test_prefixes_that_are_allowed(twins, batch, beams):
    def allowed(number, ids):
        return [int(ids[-1]) // 2 + 4, 10 + number, 13 + number, 40 + number, 2]

    options = dict(prefix_allowed_tokens_fn=allowed, num_beams=beams, max_new_tokens=9)
    found = same(twins, lambda m: m.generate(**batch, **options))
    assert len({tuple(row) for row in found[:, 7:].tolist()}) == 3  # each prompt has its own
    for model in twins:
        with pytest.raises(ValueError, match="prefix_allowed_tokens_fn"):
            model.generate(**batch, prefix_allowed_tokens_fn=lambda number, ids: [])


@pytest.mark.parametrize("most, schedule", [(20, "constant"), (2, "heuristic")])
def test_an_assistant_changes_nothing(twins, assistants, batch, most, schedule):
    ids = batch["input_ids"][1:2]
    expected = twins[1].generate(ids, max_new_tokens=25)
    for own, assistant in zip(twins, assistants, strict=True):
        assistant.generation_config.num_assistant_tokens = most
        assistant.generation_config.num_assistant_tokens_schedule = schedule
        for helper in (assistant, own):
            found = own.generate(ids, assistant_model=helper, max_new_tokens=25)
            assert torch.equal(found, expected)
        found = own.generate(
            ids, assistant_model=assistant, max_new_tokens=9, return_dict_in_generate=True, output_scores=True
        )
        assert (
            torch.equal(found.sequences, expected[:, : found.sequences.shape[1]]) and len(found.scores) <= 9
        )
    together = twins[0].generate(**batch, assistant_model=assistants[0], max_new_tokens=25)
    assert torch.equal(together, twins[0].generate(**batch, max_new_tokens=25))


def test_look_up_drafts(twins, batch):
    same(twins, lambda m: m.generate(batch["input_ids"][1:2], prompt_lookup_num_tokens=3, max_new_tokens=22))


@pytest.mark.parametrize("options", [{}, dict(num_beams=3, num_return_sequences=2)], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_transition_scores(twins, batch, options, normalize):
    found = []
    for model in twins:
        out = model.generate(**batch, **EVERYTHING, **options)
        origins = out.beam_indices if "beam_indices" in out else None
        found.append(
            model.compute_transition_scores(out.sequences, out.scores, origins, normalize_logits=normalize)
        )
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_configs_of_transformers(twins, batch):
    config = transformers.GenerationConfig(max_new_tokens=6, num_beams=2, no_repeat_ngram_size=2)
    same(twins, lambda m: m.generate(**batch, generation_config=config))
    same(twins, lambda m: m.generate(batch["input_ids"], config))
    same(twins, lambda m: m.generate(**batch, generation_config=config, num_beams=1, max_new_tokens=3))


def test_the_models_own_config(randomize, batch):
    both = twin(randomize)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens"):
        assert getattr(both[0].generation_config, name) == getattr(both[1].generation_config, name)

    def call(**options):
        return lambda model: model.generate(**batch, **options)

    for model in both:
        model.generation_config.max_new_tokens = 4
    assert same(both, call()).shape[1] <= 11
    assert same(both, call(max_length=30)).shape[1] <= 11  # max_new_tokens takes precedence
    assert same(both, call(max_new_tokens=9)).shape[1] > 11
    config = transformers.GenerationConfig(num_beams=2)
    same(both, call(generation_config=config))
    same(both, call(generation_config=config, use_model_defaults=False))
    same(both, call(eos_token_id=None, max_new_tokens=20))
    for model in both:
        model.generation_config = transformers.GenerationConfig(
            max_new_tokens=3, pad_token_id=0, eos_token_id=2
        )
    same(both, call())


@pytest.mark.parametrize(
    "options",
    [
        dict(max_length=5),
        dict(foo=3),
        dict(num_return_sequences=2),
        dict(num_beams=2, num_return_sequences=3),
        dict(max_new_tokens=0),
        dict(num_beams=2, num_beam_groups=2),
        dict(cache_implementation="unheard of"),
        dict(token_type_ids=torch.ones(3, 7, dtype=torch.long)),
        dict(streamer=Kept(), num_beams=2),
        dict(stop_strings="x"),
        dict(penalty_alpha=0.6, top_k=4, use_cache=False),
        dict(dola_layers="middle"),
        dict(inputs=torch.ones(3, 7, dtype=torch.long)),
    ],
    ids=lambda options: "-".join(options),
)
def test_what_both_refuse(twins, batch, options):
    for model in twins:
        with pytest.raises(ValueError):
            model.generate(**batch, **options)


@pytest.mark.parametrize(
    "options",
    [
        dict(synced_gpus=False),
        dict(cache_implementation="static"),
        dict(prefill_chunk_size=2),
        dict(disable_compile=True),
        dict(foo=None),
        dict(trust_remote_code=True),
    ],
    ids=str,
)
def test_what_changes_nothing(twins, batch, options):
    same(twins, lambda m: m.generate(**batch, max_new_tokens=4, **options))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(watermarking_config={"bias": 2.5}), "watermarks change the distribution"),
        (dict(cache_implementation="quantized"), "cache_implementation"),
        (dict(custom_generate="someone/repository"), "would run code"),
        (dict(synced_gpus=True), "Expected it to be False"),
        (dict(token_healing=True), "without a tokenizer"),
        (dict(assistant_model=torch.nn.Linear(1, 1)), "assistant_model as a BloomForCausalLM"),
        (dict(generation_config=5), "generation_config as a GenerationConfig, got 5"),
    ],
    ids=str,
)
def test_what_is_refused_here(twins, batch, options, message):
    with pytest.raises(BloomError, match=message):
        twins[0].generate(**batch, **options)


def test_right_padding_is_moved(twins, batch):
    """Theirs generates after the padding."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    order = (1 - mask).argsort(dim=1, stable=True)
    options = dict(max_new_tokens=6, return_dict_in_generate=True)
    right = ids.gather(1, order)
    found = twins[0].generate(right, attention_mask=mask.gather(1, order), **options).sequences
    assert torch.equal(found[:, :7], right)
    assert torch.equal(found[:, 7:], twins[1].generate(**batch, **options).sequences[:, 7:])
