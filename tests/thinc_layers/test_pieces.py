import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bloom.thinc_layers.pieces import Window, batch_windows, cut_windows

sizes = st.integers(1, 12).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w - 1)))


@given(lengths=st.lists(st.integers(0, 60), max_size=6), size=sizes)
def test_windows_keep_every_piece_once_with_their_context(lengths, size):
    window, context = size
    windows = cut_windows(lengths, window, context)
    assert [w.doc for w in windows] == sorted(w.doc for w in windows)
    for doc, length in enumerate(lengths):
        own = [w for w in windows if w.doc == doc]
        assert [i for w in own for i in range(w.keep, w.end)] == list(range(length))
        for w in own:
            assert len(w) == w.end - w.start <= window
            assert w.keep - w.start == (0 if w.start == 0 else context)
            assert w.start > 0 or w.keep == 0


@pytest.mark.parametrize("length, expected", [(0, 0), (1, 1), (8, 1), (9, 2), (14, 2), (15, 3)])
def test_no_more_windows_than_needed(length, expected):
    assert len(cut_windows([length], 8, 2)) == expected


@given(
    lengths=st.lists(st.integers(1, 40), max_size=20),
    budget=st.integers(1, 60),
    multiple=st.integers(1, 4),
)
def test_batches_hold_every_window_once_within_the_budget(lengths, budget, multiple):
    windows = [Window(doc, 0, length, 0) for doc, length in enumerate(lengths)]
    batches = batch_windows(windows, budget, multiple=multiple)
    assert sorted(w.doc for batch in batches for w in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or sum(map(len, batch)) <= budget
    flat = [len(w) for batch in batches for w in batch]
    assert flat == sorted(flat, reverse=True)


@pytest.mark.parametrize("multiple", [1, 2, 4])
@pytest.mark.parametrize("n", [8, 100, 1000])
def test_batches_are_as_many_and_as_large_as_wanted(n, multiple):
    windows = [Window(doc, 0, 10 + doc % 31, 0) for doc in range(n)]
    sizes = [sum(map(len, batch)) for batch in batch_windows(windows, 512, multiple=multiple)]
    assert len(sizes) % multiple == 0
    assert max(sizes) - min(sizes) <= 2 * 40
    assert len(sizes) <= multiple + 1.2 * sum(map(len, windows)) / 512


def test_no_windows_are_no_batches():
    assert batch_windows([], 512, multiple=2) == []
