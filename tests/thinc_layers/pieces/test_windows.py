import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bloom.thinc_layers.pieces.windows import Window, WindowSettings, batch_windows

sizes = st.integers(1, 12).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w - 1)))


@given(lengths=st.lists(st.integers(0, 60), max_size=6), size=sizes)
def test_windows_keep_every_piece_once_with_their_context(lengths, size):
    window, context = size
    windows = WindowSettings(window, context).cut(lengths)
    assert [w.doc for w in windows] == sorted(w.doc for w in windows)
    for doc, length in enumerate(lengths):
        own = [w for w in windows if w.doc == doc]
        assert [i for w in own for i in range(w.keep, w.keep_end)] == list(range(length))
        for w in own:
            assert len(w) == w.end - w.start <= window
            assert w.keep - w.start == (0 if w.start == 0 else context)
            assert w.start > 0 or w.keep == 0
            assert w.keep_end == w.end
            assert list(range(w.start, w.end))[w.kept] == list(range(w.keep, w.keep_end))


@given(lengths=st.lists(st.integers(0, 60), max_size=6), size=sizes)
def test_context_on_both_sides(lengths, size):
    room, context = size
    window = room + 2 * context
    windows = WindowSettings(window, context, both_sides=True).cut(lengths)
    for doc, length in enumerate(lengths):
        own = [w for w in windows if w.doc == doc]
        assert [i for w in own for i in range(w.keep, w.keep_end)] == list(range(length))
        for w in own:
            assert len(w) <= window
            assert w.keep - w.start == (0 if w.start == 0 else context)
            assert w.keep_end == (length if w.end == length else w.end - context)
            assert list(range(w.start, w.end))[w.kept] == list(range(w.keep, w.keep_end))


@pytest.mark.parametrize("length, expected", [(0, 0), (1, 1), (8, 1), (9, 2), (14, 2), (15, 3)])
def test_no_more_windows_than_needed(length, expected):
    assert len(WindowSettings(8, 2).cut([length])) == expected


@given(lengths=st.lists(st.integers(1, 40), max_size=20), budget=st.integers(1, 60))
def test_batches_hold_every_window_once_within_the_budget(lengths, budget):
    windows = [Window(doc, 0, length, 0, length) for doc, length in enumerate(lengths)]
    batches = list(batch_windows(windows, budget))
    assert sorted(w.doc for batch in batches for w in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or sum(map(len, batch)) <= budget
    flat = [len(w) for batch in batches for w in batch]
    assert flat == sorted(flat, reverse=True)
