"""Quantisation by name, and what the files of a quantised model hold: an entry `quantization` in `config.json`,
integers, scales.

The weights of the blocks, the embedding and the language-modelling head are int8 under their own names. Beside them is
one float32 scale for each of their rows (`weight_scale`). Columns that stay in float are listed in the config by layer,
and are in `float_weight`; those of a tied head are the embedding's. Weights that stay in 16 bits need nothing but the
entry, which says in what dtype they are held.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..config import BloomConfig
from ..errors import ConfigError
from ..settings import shown

FIELD = "quantization"
INT8 = "int8"
SCALE, FLOAT_WEIGHT = "weight_scale", "float_weight"
LAYERS = ("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
HEAD = "lm_head"


class Quantization(Protocol):
    """A way to quantise models, applied to them from outside."""

    def quantize(self, model: Any) -> Any:
        """Quantise a model's float weights in place."""

    def frame(self, model: Any) -> Any:
        """Give a model on the meta device the layers that its config describes, in place."""


# By the method in a config's entry; rooms above, which know the layers, add theirs.
QUANTIZATIONS: dict[str, Quantization] = {}


def find_quantization(method: str) -> Quantization:
    """RETURNS (Quantization): What a method's name stands for.
    RAISES (ConfigError): An unknown one.
    """
    if method not in QUANTIZATIONS:
        raise ConfigError(f"Expected quantization by one of {sorted(QUANTIZATIONS)}, got {shown(method)}.")
    return QUANTIZATIONS[method]


def quantization_method(config: BloomConfig) -> str | None:
    """RETURNS (str | None): How a checkpoint is quantised; None if it is not.
    RAISES (ConfigError): The config's entry does not say.
    """
    entry = config.extra.get(FIELD)
    if entry is None:
        return None
    method = entry.get("method") if isinstance(entry, Mapping) else None
    if not isinstance(method, str):
        raise ConfigError(f"Expected {FIELD} in the config with a method, got {shown(entry)}.")
    return method


def int8_layers(n_layer: int) -> list[str]:
    """RETURNS (list[str]): Layers with int8 products: of the blocks, by their names in the decoder, and the head."""
    return [f"h.{i}.{name}" for i in range(n_layer) for name in LAYERS] + [HEAD]


def float_columns(config: BloomConfig) -> dict[str, Sequence[int]]:
    """RETURNS (dict[str, Sequence[int]]): Columns that stay in float, by layer; layers without any are not in it.
    RAISES (ConfigError): The config's entry is not what this package writes.
    """
    columns = config.extra[FIELD].get("float_columns", {})
    sizes = dict.fromkeys(int8_layers(config.n_layer), config.hidden_size)
    sizes |= {name: 4 * config.hidden_size for name in sizes if name.endswith(LAYERS[-1])}
    if not isinstance(columns, Mapping) or not set(columns) <= set(sizes):
        raise ConfigError(f"Expected float_columns by layers of this model, got {shown(columns)}.")
    for name, found in columns.items():
        whole = isinstance(found, list) and all(type(i) is int and 0 <= i < sizes[name] for i in found)
        if not whole or not found or sorted(set(found)) != found:
            raise ConfigError(
                f"Expected the float_columns of {name} as different integers from 0 to {sizes[name] - 1} in order, "
                f"got {shown(found)}."
            )
    return dict(columns)


def int8_shapes(config: BloomConfig, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """RETURNS (dict[str, tuple[int, ...]]): Shapes of a decoder's weights, with what integers need beside them."""
    columns = float_columns(config)
    result: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        result[name] = shape
        layer = name.removesuffix(".weight")
        if len(shape) == 2:
            result[f"{layer}.{SCALE}"] = shape[:1]
        if name != layer and layer in columns:
            result[f"{layer}.{FLOAT_WEIGHT}"] = (shape[0], len(columns[layer]))
    return result
