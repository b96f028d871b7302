import numpy
import pytest
import torch
from transformers.utils import TensorType

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.tensors import check_kind, to_python, to_tensor


@pytest.mark.parametrize("kind, array", [("np", numpy.ndarray), ("pt", torch.Tensor)])
def test_rows_as_arrays(kind, array):
    found = to_tensor([[1, 2], [3, 4]], kind)
    assert isinstance(found, array) and found.tolist() == [[1, 2], [3, 4]]
    assert to_tensor(found, kind) is found
    assert to_tensor([numpy.array([1, 2])], kind).tolist() == [[1, 2]]
    assert str(to_tensor([[]], kind).dtype).endswith("int64") and tuple(to_tensor([[]], kind).shape) == (1, 0)
    assert str(to_tensor([[0.5]], kind).dtype).endswith("float32" if kind == "pt" else "float64")
    with pytest.raises(InputError, match=r"Rows of 1 to 2 pieces.*padding=True"):
        to_tensor([[1], [2, 3]], kind)
    with pytest.raises(InputError, match="Expected numbers.*labels"):
        to_tensor([[None]], kind, "labels")


@pytest.mark.parametrize("kind", ["tf", "jax", "mlx", "xx", 5])
def test_other_kinds(kind):
    advice = "pass return_tensors='np'" if kind in ("tf", "jax", "mlx") else "Expected return_tensors"
    with pytest.raises(InputError, match=advice):
        check_kind(kind)


def test_members_of_an_enum():
    assert check_kind(TensorType.PYTORCH) == "pt" and check_kind("np") == "np"


def test_back_to_lists():
    value = {"a": torch.tensor([[1]]), "b": [numpy.int64(2), numpy.array([0.5])], "c": ("x", None, True)}
    assert to_python(value) == {"a": [[1]], "b": [2, [0.5]], "c": ["x", None, True]}
