"""Rows of numbers as tensors and arrays, and back."""

from collections.abc import Mapping
from typing import Any

import numpy
import torch

from ..errors import InputError

ADVICE = {
    "tf": "TensorFlow reads NumPy's: pass return_tensors='np'.",
    "jax": "JAX reads NumPy's: pass return_tensors='np', as in docs/jax.md.",
    "mlx": "MLX reads NumPy's: pass return_tensors='np'.",
}


def check_kind(kind: Any) -> str:
    """RETURNS (str): "pt" or "np"; also for members of transformers' TensorType. RAISES (InputError): Another."""
    kind = getattr(kind, "value", kind)
    if kind not in ("pt", "np"):
        advice = ADVICE.get(kind, "") if isinstance(kind, str) else ""
        raise InputError(f"Expected return_tensors to be 'pt', 'np' or None, got {kind!r}. {advice}".rstrip())
    return kind


def to_tensor(value: Any, kind: str, name: str = "the rows") -> Any:
    """value (Any): Numbers in lists, nested to a rectangle.
    kind (str): "pt" or "np".
    RETURNS (Tensor | ndarray): Of int64, where there are no numbers to say otherwise.
    RAISES (InputError): Rows of several lengths, or what are no numbers.
    """
    if isinstance(value, torch.Tensor if kind == "pt" else numpy.ndarray):
        return value
    try:
        # torch reads lists number by number; numpy also reads lists of arrays.
        array = numpy.array(
            [part.detach().cpu().numpy() for part in value] if _holds(value, torch.Tensor) else value
        )
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(_why_not(value, name, error)) from None
    if not array.size:
        array = array.astype(numpy.int64)
    if array.dtype.kind not in "biuf":
        raise InputError(_why_not(value, name, None))
    if kind == "np":
        return array
    is_plain = array.dtype == numpy.float64 and not _holds(value, numpy.ndarray)
    return torch.from_numpy(array.astype(numpy.float32) if is_plain else array)


def _holds(value: Any, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], kind)


def _why_not(value: Any, name: str, error: Exception | None) -> str:
    lengths = (
        {len(row) for row in value if hasattr(row, "__len__")} if isinstance(value, (list, tuple)) else ()
    )
    if len(lengths) > 1:
        return (
            f"Rows of {min(lengths)} to {max(lengths)} pieces make no rectangular tensor ({name}). "
            "Pass padding=True, and truncation=True with max_length where rows are too long."
        )
    reason = "." if error is None else f": {error}."
    return f"Expected numbers of which a tensor can be made in {name}, got {value!r:.80}{reason}"


def to_python(value: Any) -> Any:
    """RETURNS (Any): The same with lists and numbers of Python for tensors, arrays and numbers of other libraries."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {name: to_python(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_python(part) for part in value]
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().tolist()
    return value.tolist() if hasattr(value, "tolist") else value  # numpy's, and jax's
