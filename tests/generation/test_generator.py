"""Streams, sampling and their independence; `tests/parity/test_generation.py` compares ids with Hugging Face."""

import pytest
import torch
from tokenizers import Tokenizer

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.constraints.byte_spans import Choice
from spacy_bloom.generation.piece_bytes import PieceBytes

SAMPLING = dict(do_sample=True, top_p=0.95, temperature=1.3, max_new_tokens=12)


def sequences(stream):
    """What each sequence of each prompt got, why it ended, and its steps."""
    pieces, reasons = {}, {}
    for step in stream:
        key = (step.prompt, step.sequence)
        assert key not in reasons  # nothing comes after the end
        pieces.setdefault(key, []).extend(step.pieces)
        if step.finished:
            reasons[key] = step.finished
    assert set(pieces) == set(reasons)
    return pieces, reasons


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_json):
    return BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))


@pytest.fixture(scope="module")
def text_model(tokenizer, randomize):
    """A model with more embedding rows than pieces."""
    config = BloomConfig(
        vocab_size=len(tokenizer) + 40, hidden_size=24, n_layer=1, n_head=3, pad_token_id=3, eos_token_id=2
    )
    return randomize(BloomForCausalLM(config), std=0.15).eval()


def test_a_stream_comes_step_by_step(language_model, draw_prompts):
    stream = language_model.generate_stream(draw_prompts(5, 9), max_new_tokens=4, min_new_tokens=4)
    steps = [next(stream) for _ in range(3)]
    assert [(step.prompt, len(step.pieces)) for step in steps] == [(0, 1), (1, 1), (0, 1)]
    pieces, reasons = sequences(
        language_model.generate_stream(draw_prompts(5, 9), max_new_tokens=4, min_new_tokens=4)
    )
    assert set(reasons.values()) == {"length"} and all(len(row) == 4 for row in pieces.values())


def test_the_same_seed_gives_the_same_text_at_any_batch_composition(language_model, draw_prompts):
    prompts = draw_prompts(5, 9, 2, 30)
    options = {**SAMPLING, "num_return_sequences": 3, "seed": 5}
    together, _ = sequences(language_model.generate_stream(prompts, **options))
    for order in ([3, 1, 0, 2], [2], [0, 0, 1]):
        found, _ = sequences(language_model.generate_stream([prompts[i] for i in order], **options))
        for place, i in enumerate(order):
            for s in range(3):
                assert found[place, s] == together[i, s]
    assert len({tuple(row) for row in together.values()}) > 8
    other, _ = sequences(language_model.generate_stream(prompts, **{**options, "seed": 6}))
    assert other != together
    per_prompt, _ = sequences(language_model.generate_stream(prompts, **{**options, "seed": [5, 6, 5, 6]}))
    assert per_prompt[0, 1] == together[0, 1] and per_prompt[1, 1] == other[1, 1]


def test_without_a_seed_torch_decides(language_model, draw_prompts):
    def draw():
        return sequences(language_model.generate_stream(draw_prompts(5, 5), **SAMPLING))[0]

    torch.manual_seed(3)
    first, second = draw(), draw()
    torch.manual_seed(3)
    assert draw() == first != second


def test_the_first_piece_follows_its_distribution(language_model, draw_prompts):
    (prompt,) = draw_prompts(6)
    n = 4000
    with torch.inference_mode():
        expected = language_model(torch.tensor([prompt])).logits[0, -1].softmax(-1) * n
    counts = torch.zeros(97)
    for start in range(0, n, 1000):
        options = dict(do_sample=True, top_k=0, max_new_tokens=1, num_return_sequences=1000, seed=start)
        for step in language_model.generate_stream([prompt], **options):
            counts[step.pieces[0]] += 1
    rare = expected < 5  # left out: the test is for frequencies
    assert rare.sum() < 60
    statistic = ((counts - expected)[~rare] ** 2 / expected[~rare]).sum().item()
    freedom = int((~rare).sum())
    # Above the mean of a chi-square variable by 5 standard deviations.
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


def test_drafts_change_no_sample(language_model, draw_prompts):
    prompts = draw_prompts(5, 9, 30)
    options = {**SAMPLING, "seed": 1, "temperature": 0.3}
    plain = sequences(language_model.generate_stream(prompts, **options))
    drafted = sequences(language_model.generate_stream(prompts, prompt_lookup_num_tokens=5, **options))
    assert drafted == plain


def test_drafts_save_calls(language_model, draw_prompts):
    """A row that repeats itself is drafted right now and then."""
    calls = []
    hook = language_model.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    (prompt,) = draw_prompts(3)
    options = dict(max_new_tokens=150, min_new_tokens=150)
    plain = language_model.generate(torch.tensor([prompt]), **options)
    n_plain = len(calls)
    drafted = language_model.generate(torch.tensor([prompt]), prompt_lookup_num_tokens=8, **options)
    hook.remove()
    assert torch.equal(plain, drafted)
    assert len(calls) - n_plain < 0.75 * n_plain


def test_text_comes_in_whole_characters(text_model, tokenizer):
    prompts = [tokenizer.encode("Paris is 中文"), tokenizer.encode("é")]
    options = dict(max_new_tokens=40, do_sample=True, seed=2)
    texts, pieces = ["", ""], [[], []]
    for step in text_model.generate_stream(prompts, tokenizer=tokenizer, **options):
        texts[step.prompt] += step.text
        pieces[step.prompt] += step.pieces
    assert texts == [tokenizer.decode(row, skip_special_tokens=True) for row in pieces]
    assert any(texts)
    step = next(text_model.generate_stream(prompts, **options))
    assert step.text is None


def test_dead_ids_are_never_generated(text_model, tokenizer):
    prompt = tokenizer.encode("a b c")
    with torch.no_grad():
        embedding = text_model.transformer.word_embeddings.weight
        kept = embedding.clone()
        # Of two opposite rows one has the best score, by far.
        embedding[len(tokenizer) :: 2], embedding[len(tokenizer) + 1 :: 2] = 20.0 * kept[4], -20.0 * kept[4]
    try:
        free = text_model.generate(torch.tensor([prompt]), max_new_tokens=5)
        assert (free[0, len(prompt) :] >= len(tokenizer)).any()
        for options in (dict(), dict(num_beams=2), dict(do_sample=True, seed=0)):
            ids = text_model.generate(
                torch.tensor([prompt]), tokenizer=tokenizer, max_new_tokens=5, **options
            )
            assert (ids < len(tokenizer)).all()
    finally:
        with torch.no_grad():
            embedding.copy_(kept)


def test_a_constraint(text_model, tokenizer):
    pieces = PieceBytes(tokenizer)
    choice = Choice(["sport", "politics", "文化"], pieces, 2)
    prompts = [tokenizer.encode(text) for text in ("one", "two and two", "三")]
    for options in (dict(), dict(num_beams=3), dict(do_sample=True, seed=1, num_return_sequences=4)):
        found, reasons = sequences(
            text_model.generate_stream(prompts, logits_processor=[choice], max_new_tokens=40, **options)
        )
        assert set(reasons.values()) == {"eos"}
        assert {choice.text_of(row) for row in found.values()} <= {"sport", "politics", "文化"}


def test_stop_strings(text_model, tokenizer):
    prompt = tokenizer.encode("Paris")
    options = dict(max_new_tokens=30, min_new_tokens=30)
    ids = text_model.generate(torch.tensor([prompt]), tokenizer=tokenizer, **options)[0, len(prompt) :]
    text = tokenizer.decode(ids.tolist())
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    stream = text_model.generate_stream([prompt], tokenizer=tokenizer, stop_strings=stop, **options)
    pieces, reasons = sequences(stream)
    found = tokenizer.decode(pieces[0, 0])
    assert reasons == {(0, 0): "stop_string"} and text.startswith(found) and stop in found
    assert stop not in tokenizer.decode(pieces[0, 0][:-1])


def test_beam_sampling(language_model, draw_prompts):
    options = dict(num_beams=3, do_sample=True, num_return_sequences=2, max_new_tokens=8, seed=4)
    prompts = draw_prompts(5, 9)
    found, _ = sequences(language_model.generate_stream(prompts, **options))
    assert sequences(language_model.generate_stream(prompts[1:], **options))[0][0, 0] == found[1, 0]
    assert sequences(language_model.generate_stream(prompts, **{**options, "seed": 5}))[0] != found


def test_a_dead_beam_is_lost_and_others_go_on(language_model, draw_prompts):
    """Pieces 7 and 8 only, and nothing after 7 once it stands twice or before 8."""

    def only(rows, scores):
        scores[:, :7] = scores[:, 9:] = -torch.inf
        return scores

    options = dict(num_beams=2, max_new_tokens=4, bad_words_ids=[[7, 7], [7, 8]], logits_processor=[only])
    found, _ = sequences(language_model.generate_stream(draw_prompts(5, 2), **options))
    for row in found.values():
        assert row[:3] == [8, 8, 8] and row[3] in (7, 8)
    with pytest.raises(InputError, match="none: all are forbidden"):
        options["bad_words_ids"] = [[7, 7], [7, 8], [8, 7], [8, 8]]
        list(language_model.generate_stream(draw_prompts(5), **options))


def test_fewer_texts_than_beams(text_model, tokenizer):
    choice = Choice(["a", "b"], PieceBytes(tokenizer), 2)
    options = dict(num_beams=3, num_return_sequences=3, max_new_tokens=5, logits_processor=[choice])
    found, _ = sequences(text_model.generate_stream([tokenizer.encode("x")], **options))
    assert sorted(choice.text_of(row) for row in found.values()) == ["a", "b"]
    ids = text_model.generate(torch.tensor([tokenizer.encode("x")]), **options)
    assert ids.shape[0] == 3 and (ids[2, -1] == 3).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_an_untied_head(language_model, randomize, draw_prompts, dtype):
    config = language_model.config.replace(tie_word_embeddings=False)
    model = randomize(BloomForCausalLM(config), std=0.15).eval().to(dtype)
    for options in (dict(), dict(num_beams=2), dict(prompt_lookup_num_tokens=3)):
        found, _ = sequences(model.generate_stream(draw_prompts(5, 9), max_new_tokens=6, **options))
        alone, _ = sequences(model.generate_stream(draw_prompts(5, 9)[1:], max_new_tokens=6, **options))
        assert found[1, 0][:1] == alone[0, 0][:1]  # later pieces may differ by rounding
        assert all(0 < len(row) <= 6 for row in found.values())


def test_long_prompts_are_fed_in_parts(language_model, draw_prompts):
    """More pieces than are fed at once, beside a short prompt."""
    prompts = draw_prompts(600, 3)
    found, _ = sequences(language_model.generate_stream(prompts, max_new_tokens=5))
    for p, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        for piece in found[p, 0]:
            with torch.no_grad():
                assert language_model(ids).logits[0, -1].argmax() == piece
            ids = torch.cat((ids, torch.tensor([[piece]])), dim=1)


def test_scores_of_beams(language_model, draw_prompts):
    (prompt,) = draw_prompts(5)
    for penalty in (1.0, 0.0, -0.5):
        options = dict(num_beams=3, num_return_sequences=3, length_penalty=penalty, max_new_tokens=6)
        steps = list(language_model.generate_stream([prompt], **options))
        assert [step.score for step in steps] == sorted((step.score for step in steps), reverse=True)
        for step in steps:
            ids = torch.tensor([[*prompt, *step.pieces]])
            with torch.no_grad():
                log_probabilities = language_model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            picked = log_probabilities.gather(1, torch.tensor(step.pieces)[:, None]).sum().item()
            assert step.score == pytest.approx(picked / len(step.pieces) ** penalty, rel=1e-4)


def test_a_checkpoints_generation_config(tmp_path, language_model, draw_prompts):
    model = BloomForCausalLM(language_model.config)
    model.load_state_dict(language_model.state_dict())
    model.generation_config = GenerationConfig(max_new_tokens=3, min_new_tokens=3, repetition_penalty=1.2)
    model.save_pretrained(tmp_path)
    loaded = BloomForCausalLM.from_pretrained(tmp_path)
    assert loaded.generation_config == model.generation_config
    ids = torch.tensor(draw_prompts(6))
    assert loaded.generate(ids).shape == (1, 9)
    assert loaded.generate(ids, max_new_tokens=5, min_new_tokens=5).shape == (1, 11)
    assert loaded.generate(ids, generation_config=GenerationConfig(max_new_tokens=1)).shape == (1, 7)
    language_model.save_pretrained(tmp_path)  # in its place, without one
    assert BloomForCausalLM.from_pretrained(tmp_path).own_generation_config is None


@pytest.mark.parametrize(
    "prompts, options, error, message",
    [
        ([[4, 5]], dict(max_new_token=3), ConfigError, "max_new_tokens"),
        ([[4, 5], []], {}, InputError, "at least one piece"),
        ([[4, 97]], {}, InputError, "0 to 96"),
        ([[4, 5]], dict(stop_strings="x"), InputError, "tokenizer="),
        ([[4, 5]], dict(do_sample=True, seed=[1, 2]), InputError, "2 seeds"),
        ([[4, 5]], dict(bad_words_ids=[[i] for i in range(97)], eos_token_id=2, min_new_tokens=1), InputError,
         "none: all are forbidden"),
    ],
)  # fmt: skip
def test_what_does_not_fit(language_model, prompts, options, error, message):
    with pytest.raises(error, match=message):
        list(language_model.generate_stream(prompts, **options))


def test_shapes_that_do_not_fit(language_model):
    with pytest.raises(InputError, match=r"one shape \(batch, length\)"):
        language_model.generate(torch.tensor([4, 5]))
    with pytest.raises(InputError, match=r"\(1, 2\) and \(1, 3\)"):
        language_model.generate(torch.tensor([[4, 5]]), torch.ones(1, 3))
    with pytest.raises(InputError, match="eval"):
        BloomForCausalLM(language_model.config).train().generate(torch.tensor([[4, 5]]))
