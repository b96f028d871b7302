import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.thinc_layers.answer_spans import best_spans, span_loss
from spacy_bloom.thinc_layers.pieces.question_windows import (
    QuestionWindow,
    TokenPieces,
    cut_question_windows,
)
from spacy_bloom.thinc_layers.pieces.windows import DocPieces, WindowSettings

sizes = st.integers(2, 12).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w - 1)))
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
        [None],
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
        [DocPieces(numpy.arange(31), [], None, None, None)], [numpy.arange(1)], [None], WindowSettings(9, 3)
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
