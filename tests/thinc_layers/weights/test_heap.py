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


LARGE_BLOCKS = """
import sys, numpy
from spacy_bloom.thinc_layers.weights.heap import map_large_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if sys.argv[1] == "mapped":
    map_large_blocks()
size = 3 * 2**20
for _ in range(3):
    numpy.ones(10 * size, dtype="uint8")  # glibc raises its threshold when such a block is freed
blocks = [numpy.ones(size, dtype="uint8") for _ in range(20)]
kept = [numpy.ones(100_000, dtype="uint8") for _ in range(20)]
full = resident()
del blocks
print((full - resident()) / (20 * size))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("mapped, returned", [("mapped", True), ("plain", False)])
def test_large_blocks_go_back_at_once(mapped, returned, python_torch):
    """In a process of its own: the setting stays."""
    result = python_torch.run("-c", LARGE_BLOCKS, mapped)
    assert result.returncode == 0, result.stderr
    assert (float(result.stdout) > 0.9) == returned
