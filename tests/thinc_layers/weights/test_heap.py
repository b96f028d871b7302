import sys

import numpy
import pytest

from spacy_bloom.thinc_layers.weights.heap import give_back_free_memory


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_holes_in_the_heap_are_returned():
    size = 2**16  # below the size from which glibc gives a block a mapping of its own
    blocks = [numpy.ones(size, dtype="uint8") for _ in range(4000)]
    kept = blocks[::8]
    full = resident()
    del blocks
    give_back_free_memory()
    assert full - resident() > 0.7 * 7 / 8 * 4000 * size
    assert all(block.all() for block in kept)
