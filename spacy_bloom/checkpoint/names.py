"""The one place that knows how weights are called in BLOOM checkpoints.

Our modules have the checkpoints' own names, so that the table is almost empty: what differs between files is
whether the decoder's weights carry a `transformer.` prefix, and which head they come with.
"""

import re
from collections.abc import Iterable

from ..config import BloomConfig
from ..errors import CheckpointError

PREFIX = "transformer."
TIED_HEAD = "lm_head.weight"
# The heads of BLOOM's classes. A file may hold one that the model at hand does not have: it is left unread.
# A model may have one that the file does not hold: it starts from random weights, with a warning.
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
    """The decoder's weights without a model around them.

    config (BloomConfig): The geometry.
    RETURNS (dict[str, tuple[int, ...]]): Shapes by name (without the prefix), in the order of use.
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
    return {
        EMBEDDING: (config.vocab_size, size),
        **_norm("word_embeddings_layernorm", size),
        **{f"h.{i}.{name}": shape for i in range(config.n_layer) for name, shape in block.items()},
        **_norm("ln_f", size),
    }


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def block_of(name: str) -> int | None:
    """RETURNS (int | None): Number of the block that a weight belongs to; None for all other weights."""
    found = BLOCK.fullmatch(name)
    return None if found is None else int(found.group(1))


def is_head(name: str) -> bool:
    """RETURNS (bool): Whether a weight belongs to a head, not to the decoder."""
    return name.startswith(HEADS)


def head_class(names: Iterable[str]) -> str:
    """RETURNS (str): The class whose head is among weights; BloomModel's if there is none."""
    heads = {name.split(".")[0] for name in names if is_head(name)}
    return next((cls for head, cls in HEAD_CLASSES.items() if head in heads), "BloomModel")


def match_names(in_file: Iterable[str], in_model: Iterable[str]) -> dict[str, str]:
    """Pair the weights of a file with those of a model, with or without the prefix on either side.

    RETURNS (dict[str, str]): The file's name of each weight, by the model's name. Weights of the file that
        are the model's under no spelling are left under the name that the model would have for them.
    RAISES (CheckpointError): The file holds a weight under both spellings.
    """
    in_model = set(in_model)
    prefixed = any(name.startswith(PREFIX) for name in in_model)
    pairs: dict[str, str] = {}
    for name in in_file:
        bare = name.removeprefix(PREFIX)
        own = PREFIX + bare if prefixed and not is_head(bare) else bare
        if own in pairs:
            raise CheckpointError(f"Got two weights for one: {pairs[own]} and {name}. Remove one of them.")
        pairs[own] = name
    return pairs
