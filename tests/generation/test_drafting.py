import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bloom.generation.drafting import NgramLookup


def slow_draft(pieces, longest, most):
    """The same, by looking everywhere."""
    for n in range(min(longest, len(pieces)), 0, -1):
        for end in range(len(pieces) - 1, n - 1, -1):
            if pieces[end - n : end] == pieces[-n:]:
                return pieces[end : end + most]
    return []


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=8), st.integers(1, 4), st.integers(0, 5))
def test_drafts(parts, longest, most):
    lookup, pieces = NgramLookup(longest), []
    for part in parts:
        lookup.add(part)
        pieces += part
        assert lookup.draft(most) == slow_draft(pieces, longest, most)


@pytest.mark.parametrize(
    "pieces, draft",
    [
        ([1, 2, 3, 4, 2, 3], [4, 2, 3]),
        ([2, 3, 5, 2, 3, 6, 2, 3], [6, 2, 3]),  # the latest
        ([1, 2, 3, 9, 3], [9, 3]),  # what is found of one piece, if not of two
        ([1, 2, 3], []),
        ([], []),
    ],
)
def test_what_is_drafted(pieces, draft):
    lookup = NgramLookup(2)
    lookup.add(pieces)
    assert lookup.draft(10) == draft
    assert lookup.draft(1) == draft[:1]
