"""What is exchanged is compared in test_tensor_parallel.py."""

import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.parallel.exchange import add_up, gather, gather_columns, take_largest


@pytest.mark.parametrize("exchange", [add_up, take_largest, gather, lambda part: gather_columns(part, [2])])
def test_what_learns_is_not_exchanged(exchange):
    with pytest.raises(InputError, match="only predicts"):
        exchange(torch.ones(1, 2, requires_grad=True))
