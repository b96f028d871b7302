import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax.beams import Search, _can_improve

SCORES = np.array([[-4.0], [-4.0], [-np.inf]], np.float32)  # of what goes on
FINISHED = np.array([[-1.5], [-np.inf], [-np.inf]], np.float32)
LIMITS = np.array([8, 8, 8])


@pytest.mark.parametrize(
    "early_stopping, length_penalty, improves",
    [
        (True, 1.0, False),  # there is a finished one for every beam
        (False, 1.0, False),  # -4 / 2 is worse than -1.5
        (False, 2.0, True),
        ("never", 1.0, True),  # -4 / 8 may be better
        ("never", -1.0, False),  # longer ones get worse
    ],
)
def test_search_goes_on_while_it_can_improve(early_stopping, length_penalty, improves):
    search = Search(1, early_stopping, length_penalty)
    found = _can_improve(SCORES, FINISHED, np.int32(2), LIMITS, search)
    # The second prompt has no finished sequence yet; in the third nothing may follow.
    assert found.tolist() == [improves, True, False]
