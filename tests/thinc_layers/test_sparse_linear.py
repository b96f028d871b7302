import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.thinc_layers.sparse_linear import check_sizes


def test_sizes():
    check_sizes("rows")
    check_sizes("rows", 1, 2)
    with pytest.raises(ConfigError, match="rows of 1 or more, got 0"):
        check_sizes("rows", 5, 0)
