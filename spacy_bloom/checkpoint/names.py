"""Names of weights in BLOOM checkpoints.

Modules have the names of the checkpoints. Files differ only in the decoder's prefix `transformer.`, which some lack,
and in the head.
"""

import re
from collections.abc import Iterable

from ..config import BloomConfig
from .quantized import INT8, SCALE, int8_shapes, quantization_method

PREFIX = "transformer."
TIED_HEAD = "lm_head.weight"
# Weights of a tied head: the embedding's, which files hold once.
TIED = frozenset((TIED_HEAD, f"lm_head.{SCALE}"))
# The heads of BLOOM's classes. A file's head that the model lacks is not read. A model's head that the file lacks
# starts from random weights, with a warning.
HEAD_CLASSES = {
    "lm_head": "BloomForCausalLM",
    "classifier": "BloomForTokenClassification",
    "score": "BloomForSequenceClassification",
    "qa_outputs": "BloomForQuestionAnswering",
}
HEADS = tuple(f"{head}." for head in HEAD_CLASSES)
EMBEDDING = "word_embeddings.weight"
BLOCK = re.compile(r"(?:transformer\.)?h\.(\d{1,9})\..+")


def decoder_shapes(config: BloomConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the decoder's weights, without building a model.

    config (BloomConfig): The geometry.
    RETURNS (dict[str, tuple[int, ...]]): Shapes by name without prefix, in the order of use.
    """
    size = config.hidden_size
    block = {
        **_norm("input_layernorm", size),
        **_linear("self_attention.query_key_value", 3 * size, size),
        **_linear("self_attention.dense", size, size),
        **_norm("post_attention_layernorm", size),
        **_linear("mlp.dense_h_to_4h", 4 * size, size),
        **_linear("mlp.dense_4h_to_h", size, 4 * size),
    }
    shapes = {
        EMBEDDING: (config.vocab_size, size),
        **_norm("word_embeddings_layernorm", size),
        **{f"h.{i}.{name}": shape for i in range(config.n_layer) for name, shape in block.items()},
        **_norm("ln_f", size),
    }
    return int8_shapes(config, shapes) if quantization_method(config) == INT8 else shapes


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def block_of(name: str) -> int | None:
    """RETURNS (int | None): Index of a weight's block; None for weights outside the blocks."""
    found = BLOCK.fullmatch(name)
    return None if found is None else int(found.group(1))


def is_head(name: str) -> bool:
    """RETURNS (bool): Whether a weight belongs to a head."""
    return name.startswith(HEADS)


def is_fixed(name: str) -> bool:
    """RETURNS (bool): Whether a weight has the dtype that it was written in: scales of integers need all of theirs."""
    return name.endswith(f".{SCALE}")


def head_class(names: Iterable[str]) -> str:
    """RETURNS (str): Name of the class to which a head among the weights belongs; "BloomModel" without a head."""
    heads = {name.split(".")[0] for name in names if is_head(name)}
    return next((cls for head, cls in HEAD_CLASSES.items() if head in heads), "BloomModel")
