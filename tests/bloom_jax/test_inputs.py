import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom import BloomConfig
from spacy_bloom.bloom_jax.cache import init_cache
from spacy_bloom.bloom_jax.inputs import concrete, to_batch
from spacy_bloom.errors import InputError

CONFIG = BloomConfig(vocab_size=10)


def test_lists_tensors_and_bools_become_int32():
    ids, mask = to_batch(CONFIG, [[1, 2]], np.array([[True, False]]))
    assert ids.dtype == mask.dtype == np.int32
    assert mask.tolist() == [[1, 0]]
    assert to_batch(CONFIG, jax.numpy.array([[1]]), None)[1].tolist() == [[1]]


def test_numbers_are_unknown_while_jax_traces():
    seen = []
    jax.make_jaxpr(lambda ids: seen.append(concrete(ids)) or to_batch(CONFIG, ids, None)[0])(np.array([[99]]))
    assert seen == [None]


@pytest.mark.parametrize(
    "ids, mask, message",
    [
        ([[1, 10]], None, "0 to 9.*1 to 10"),
        ([[-1]], None, "-1"),
        ([[1, 2]], [[1]], r"\(1, 2\) or \(1, 4\), got \(1, 1\)"),
        ([[1, 2, 3]], None, "room for 3 more.*room for 2"),
        ([[1], [2]], None, "2 rows.*1 rows"),
    ],
)
def test_what_does_not_fit_is_named(ids, mask, message):
    cache = init_cache(CONFIG, 1, 4, np.dtype("float32")).replace(index=np.int32(2))
    with pytest.raises(InputError, match=message):
        to_batch(CONFIG, ids, mask, cache)
