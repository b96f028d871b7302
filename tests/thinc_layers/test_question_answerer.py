"""Questions and Docs to windows, windows to logits, logits to spans and gradients."""

import shutil
from itertools import pairwise

import numpy
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.ml.models import MaxoutWindowEncoder
from spacy.tokens import Doc
from thinc.api import Adam
from transformers import BloomConfig as HfConfig
from transformers import BloomForQuestionAnswering as HfModel

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.thinc_layers.answer_spans import best_spans, span_loss
from spacy_bloom.thinc_layers.pieces.question_windows import (
    QuestionWindow,
    TokenPieces,
    cut_question_windows,
    read_questions,
    token_pieces,
)
from spacy_bloom.thinc_layers.pieces.windows import DocPieces, WindowSettings, cut_docs
from spacy_bloom.thinc_layers.question_answerer import create_question_answerer, load_head, score_windows
from spacy_bloom.thinc_layers.transformer_model import bloom_shim

TEXT = "Ana lives in Lima near Rio . 今天 Wei 在 Paris 。"
ENCODE = {"width": 16, "window_size": 1, "maxout_pieces": 2, "depth": 1}


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def hf_checkpoint(checkpoint, tmp_path_factory):
    """A question-answering checkpoint written by transformers, and the model."""
    path = tmp_path_factory.mktemp("hf") / "qa"
    shutil.copytree(checkpoint, path)
    torch.manual_seed(0)
    vocab_size = HfConfig.from_pretrained(checkpoint).vocab_size
    model = HfModel(
        HfConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    ).eval()
    with torch.no_grad():
        model.qa_outputs.bias.normal_()
    model.save_pretrained(path)
    return str(path), model


# Logits


def test_logits_equal_hugging_faces(hf_checkpoint, tokenizer, difference):
    """Question and context are one sequence there as here: Hugging Face's tokenizer joins a pair without more."""
    path, theirs = hf_checkpoint
    model = create_question_answerer(path, window=20, context=5)
    load_head(model)
    doc = spacy.blank("xx")(TEXT * 3)
    asked = [(doc, "Who lives in Lima?"), (doc, "在哪里？")]
    windows, _ = read_questions(tokenizer, asked, separator="", settings=WindowSettings(20, 5))
    scores = score_windows(model, windows, 50)
    assert len(scores) == len(windows) > 4
    for window, logits in scores.items():
        with torch.no_grad():
            output = theirs(torch.from_numpy(window.ids)[None])
        expected = torch.stack([output.start_logits[0], output.end_logits[0]], dim=1)
        assert difference(torch.from_numpy(logits), expected) < 1e-5


def test_a_checkpoint_without_the_head(checkpoint):
    with pytest.raises(CheckpointError, match=r"qa_outputs\.weight.*got"):
        load_head(create_question_answerer(checkpoint))


def test_a_checkpoint_leaves_no_room_for_layers_between(hf_checkpoint):
    encode = MaxoutWindowEncoder(**ENCODE)
    with pytest.raises(ConfigError, match="encode = null"):
        load_head(create_question_answerer(hf_checkpoint[0], encode=encode))


def test_a_checkpoints_head_reads_the_last_layer(hf_checkpoint):
    path = str(hf_checkpoint[0])
    with pytest.raises(ConfigError, match="mix_layers = false"):
        load_head(create_question_answerer(path, mix_layers=True))


@pytest.mark.parametrize("window, context", [(0, 0), (8, 8), (8, -1)])
def test_windows_without_room(window, context):
    with pytest.raises(ConfigError, match="context < window"):
        create_question_answerer(window=window, context=context)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_what_follows_a_piece(checkpoint, attention):
    model = create_question_answerer(checkpoint, attention=attention)
    model.initialize(X=[numpy.zeros(1, dtype="int64")])
    (first,), (other,) = (model.predict([numpy.array(ids)]) for ids in ([5, 6, 7], [5, 6, 8]))
    assert numpy.allclose(first[:2], other[:2], atol=1e-6) == (attention == "causal")


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("between", [True, False])
def test_what_learns(checkpoint, learns, between):
    encode = MaxoutWindowEncoder(**ENCODE) if between else None
    model = create_question_answerer(checkpoint, train_transformer=learns, encode=encode)
    sequences = [numpy.arange(5, 12), numpy.arange(3)]
    model.initialize(X=[numpy.zeros(1, dtype="int64")])
    module = bloom_shim(model.get_ref("transformer")).module
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    head = model.get_ref("head").get_ref("output_layer").get_param("W").copy()
    logits, backprop = model.begin_update(sequences)
    assert [part.shape for part in logits] == [(7, 2), (3, 2)]
    backprop([numpy.ones_like(part) for part in logits])
    model.finish_update(Adam(0.01))
    changed = [name for name, value in module.named_parameters() if not value.equal(before[name])]
    assert bool(changed) == learns
    assert not numpy.allclose(head, model.get_ref("head").get_ref("output_layer").get_param("W"))


# Windows

sizes = st.integers(2, 12).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w - 1)))


@given(questions=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60)), max_size=5), size=sizes)
def test_windows_cover_every_piece_behind_the_question(questions, size):
    window, context = size
    pieces = [DocPieces(numpy.arange(100, 100 + n), [], None, None, None) for _, n in questions]
    prefixes = [numpy.arange(n) for n, _ in questions]
    windows = cut_question_windows(pieces, prefixes, WindowSettings(window, context))
    for i, (prefix, length) in enumerate(questions):
        own = [w for w in windows if w.asked == i]
        assert {p for w in own for p in range(w.start, w.end)} == set(range(length))
        for w in own:
            assert w.ids.tolist() == [*range(prefix), *range(100 + w.start, 100 + w.end)]
            assert w.prefix == prefix and len(w) == len(w.ids)
            assert len(w) <= max(window, prefix + context + max((window - context) // 2, 1))
        # No more of them than with half the new pieces that there were room for without a question.
        assert len(own) <= length / max((window - context) // 2, 1) + 1
        for before, after in pairwise(own):
            assert before.end - after.start == context


def test_a_doc_is_cut_once_for_all_its_questions(tokenizer):
    doc, other = (spacy.blank("xx")(text) for text in (TEXT, "Omar visits Cairo"))
    windows, tokens = read_questions(
        tokenizer,
        [(doc, "a?"), (other, "a?"), (doc, "b b b?")],
        separator="\n",
        settings=WindowSettings(500, 0),
    )
    assert [w.asked for w in windows] == [0, 1, 2]
    runs = [w.ids[w.prefix :].tolist() for w in windows]
    assert runs[0] == runs[2] == cut_docs(tokenizer, [doc])[0].ids.tolist() != runs[1]
    assert [len(t.first) for t in tokens] == [len(doc), len(other), len(doc)]


def test_control_tokens_are_text_except_in_the_separator(tokenizer):
    special = set(tokenizer.all_special_ids)
    doc = Doc(spacy.blank("xx").vocab, words=["a", "</s>", "<pad>b"])
    (window,), _ = read_questions(
        tokenizer, [(doc, "<s>who</s>?")], separator="\n", settings=WindowSettings(500, 0)
    )
    assert not special & set(window.ids.tolist())
    assert tokenizer.decode(window.ids.tolist()) == "<s>who</s>?\na </s> <pad>b "
    (window,), _ = read_questions(
        tokenizer, [(doc, "who?")], separator="</s>", settings=WindowSettings(500, 0)
    )
    assert window.ids[window.prefix - 1] == tokenizer.eos_token_id
    assert special & set(window.ids.tolist()) == {tokenizer.eos_token_id}


def test_pieces_of_tokens(tokenizer):
    doc = spacy.blank("xx")(TEXT)
    pieces = cut_docs(tokenizer, [doc])[0]
    found = token_pieces(pieces.align)
    starts = numpy.cumsum(pieces.align.lengths) - pieces.align.lengths
    for i in range(len(doc)):
        own = pieces.align.dataXd[starts[i] : starts[i] + pieces.align.lengths[i]]
        assert (found.first[i], found.last[i]) == (own.min(), own.max())


# Spans

one_piece_each = st.lists(st.integers(1, 3), min_size=1, max_size=12)


@given(
    lengths=one_piece_each,
    size=sizes,
    n_best=st.integers(1, 5),
    max_tokens=st.integers(1, 15),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_best_spans_are_those_of_all_combinations(lengths, size, n_best, max_tokens, seed):
    draw = numpy.random.default_rng(seed)
    ends = numpy.cumsum(lengths)
    tokens = TokenPieces(ends - lengths, ends - 1)
    readable = draw.random(len(lengths)) < 0.8
    windows = cut_question_windows(
        [DocPieces(numpy.arange(ends[-1]), [], None, None, None)],
        [numpy.arange(2)],
        WindowSettings(*size),
    )
    scores = [draw.normal(size=(len(w), 2)).astype("f") for w in windows]
    found = best_spans(windows, scores, tokens, readable, n_best=n_best, max_tokens=max_tokens)
    expected = {}
    held = {
        i
        for w in windows
        for i in range(len(lengths))
        if w.start <= tokens.first[i] and tokens.last[i] < w.end
    }
    for window, logits in zip(windows, scores, strict=True):
        margins = logits[2:] - logits[1]
        seen = [
            i
            for i in range(len(lengths))
            if readable[i]
            and tokens.last[i] >= window.start
            and tokens.first[i] < window.end
            and (i not in held or (window.start <= tokens.first[i] and tokens.last[i] < window.end))
        ]
        for i in seen:
            for j in (j for j in seen if i <= j < i + max_tokens):
                start = margins[max(tokens.first[i], window.start) - window.start, 0]
                end = margins[min(tokens.last[j], window.end - 1) - window.start, 1]
                expected[i, j + 1] = max(expected.get((i, j + 1), -numpy.inf), start + end)
    best = sorted(expected.values(), reverse=True)[:n_best]
    assert [score for *_, score in found] == pytest.approx(best, abs=1e-5)
    for start, end, score in found:
        assert 0 <= start < end <= len(lengths) and end - start <= max_tokens
        assert score == pytest.approx(expected[start, end], abs=1e-5)


def test_every_token_can_be_an_answer():
    """Also one of more pieces than any window holds."""
    tokens = TokenPieces(numpy.array([0, 1, 30]), numpy.array([0, 29, 30]))
    windows = cut_question_windows(
        [DocPieces(numpy.arange(31), [], None, None, None)], [numpy.arange(1)], WindowSettings(9, 3)
    )
    scores = [numpy.zeros((len(w), 2), dtype="f") for w in windows]
    found = best_spans(windows, scores, tokens, numpy.ones(3, dtype=bool), n_best=100, max_tokens=1)
    assert sorted((start, end) for start, end, _ in found) == [(0, 1), (1, 2), (2, 3)]


def test_windows_are_compared_by_what_they_say_of_no_answer():
    """The second window's logits are lower, but it is surer."""
    tokens = TokenPieces(numpy.arange(4), numpy.arange(4))
    windows = [QuestionWindow(0, numpy.arange(3), 1, 0, 2), QuestionWindow(0, numpy.arange(3), 1, 2, 4)]
    scores = [
        numpy.array([[9, 9], [9, 9], [8, 8]], dtype="f"),
        numpy.array([[-5, -5], [1, 0], [0, 1]], dtype="f"),
    ]
    found = best_spans(windows, scores, tokens, numpy.ones(4, dtype=bool), n_best=2, max_tokens=9)
    assert found == [(2, 4, 12.0), (2, 3, 11.0)]


# The loss


@pytest.mark.parametrize(
    "answers, rows",
    [
        ([(12, 14)], (3, 5)),
        ([(10, 10)], (1, 1)),
        ([(8, 11), (13, 13)], (4, 4)),  # the first is not whole in the window
        ([(8, 11)], (0, 0)),
        ([(14, 15)], (0, 0)),
        ([], (0, 0)),
    ],
)
def test_the_loss_is_the_mean_of_two_cross_entropies(answers, rows):
    window = QuestionWindow(0, numpy.arange(8), 3, 10, 15)
    logits = torch.tensor(numpy.random.default_rng(0).normal(size=(8, 2)).astype("f"), requires_grad=True)
    loss, gradient = span_loss(window, logits.detach().numpy(), answers)
    expected = torch.nn.functional.cross_entropy(logits[2:].T, torch.tensor(rows))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, logits.grad.numpy(), atol=1e-6)
