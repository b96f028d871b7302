"""What a rank reads, holds and needs at its peak, known from a model's geometry alone.

Sizes count what is allocated for tensors. Python, torch and its libraries take some hundred megabytes beside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ..checkpoint.load import Placement
from ..checkpoint.names import EMBEDDING, TIED_HEAD, decoder_shapes
from ..checkpoint.quantized import FIELD
from ..config import BloomConfig
from ..errors import InputError
from ..generation.running import CHUNK_PIECES
from .tensor_placement import TensorPlacement

ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
TRAINED_IN = ("float32", "bfloat16")
FLOAT = 4  # of vectors and scales beside integers, of what is computed with them, and of scores
SMALL_SCORES = 128 * 128  # of a head: as many are whole in memory in float32, as in `bloom.attend`
LOSS_CHUNK = 256  # places whose logits exist at once in training
MIN_ROOM, ROOM = 16, 8  # of a cache: at least so many pieces, or a part of what is needed


@dataclass(frozen=True)
class Plan:
    """Bytes of one rank, of the one that needs most.

    read (int): Of the checkpoint's files, which have the dtype.
    weights (int): Its parts of the weights, and integers once more as the CPU's kernel reads them.
    cache (int): Keys and values of its heads, with room to grow.
    learning (int): Its parts of the gradients and of the optimizer's two moments.
    gathered (int): Weights of all ranks that are together at once, and their gradients.
    activations (int): The most that the states of a pass take at once.
    """

    read: int
    weights: int
    cache: int = 0
    learning: int = 0
    gathered: int = 0
    activations: int = 0

    @property
    def peak(self) -> int:
        """RETURNS (int): All together."""
        return self.weights + self.cache + self.learning + self.gathered + self.activations


def plan_tensor_parallel(config: BloomConfig, *, n_ranks: int, dtype: str, batch: int, length: int) -> Plan:
    """For generation by a model that is divided among ranks.

    config (BloomConfig): The geometry.
    n_ranks (int): Number of ranks.
    dtype (str): Of the weights, in files and in memory: "float32", "bfloat16", "float16" or "int8".
    batch (int): Rows that are continued together.
    length (int): Pieces of a row, with those that are generated.
    RETURNS (Plan): What the first rank needs; others need as much or less.
    RAISES (InputError): Ranks that do not fit the model, or no such dtype.
    """
    _check(dtype, n_ranks=n_ranks, batch=batch, length=length)
    placement = TensorPlacement(0, n_ranks)
    placement.check(config)
    if dtype == "int8":
        config = config.replace(extra={**config.extra, FIELD: {"method": "int8"}})
    weights = sum(size for _, size in _parts(config, placement, dtype))
    packed = sum(size for name, size in _parts(config, placement, dtype) if _is_matrix(name))
    item = FLOAT if dtype == "int8" else ITEMSIZES[dtype]
    own = config.hidden_size // n_ranks
    capacity = length + max(MIN_ROOM, length // ROOM)
    cached = 2 * batch * capacity * own * item  # of a block
    activations = max(
        _block_states(config, n_ranks, batch, length, item) + cached,  # a cache grows block by block
        _logits(config, n_ranks, batch),
    )
    return Plan(
        read=weights,
        weights=weights + (packed if dtype == "int8" else 0),
        cache=config.n_layer * cached,
        activations=activations,
    )


def plan_training(config: BloomConfig, *, n_ranks: int, dtype: str, batch: int, length: int) -> Plan:
    """For training with FSDP2, AdamW and gradient checkpointing: `spacy bloom train-lm` under torchrun.

    config, n_ranks: As for `plan_tensor_parallel`.
    dtype (str): What is computed in: "float32" or "bfloat16". Weights, gradients and moments are float32.
    batch (int): Sequences that a rank computes at once.
    length (int): Pieces of each.
    RETURNS (Plan): What a rank needs.
    RAISES (InputError): No such dtype.
    """
    _check(dtype, n_ranks=n_ranks, batch=batch, length=length)
    if dtype not in TRAINED_IN:
        raise InputError(f"Expected {' or '.join(TRAINED_IN)} to train in, got {dtype}.")
    shapes = _shapes(config)
    held = sum(-(-shape[0] // n_ranks) * prod(shape[1:]) for shape in shapes.values()) * FLOAT
    block = sum(prod(shape) for name, shape in shapes.items() if name.startswith("h.0."))
    root = sum(prod(shape) for name, shape in shapes.items() if not name.startswith("h."))
    item = ITEMSIZES[dtype]
    # Measured: two blocks, each as it was received and as it is used, and two blocks' gradients as they are made, sent
    # and summed. What is outside of blocks stays; the head's gradient is summed beside that of the embedding.
    gathered = block * (6 * item + 4 * FLOAT) + root * (2 * item + FLOAT)
    hidden = batch * length * config.hidden_size * item
    activations = config.n_layer * hidden + max(
        _learnt_block(config, batch, length, hidden, item),
        LOSS_CHUNK * config.vocab_size * (2 * FLOAT + (item if item < FLOAT else 0)),
    )
    return Plan(
        read=held // FLOAT * item, weights=held, learning=3 * held, gathered=gathered, activations=activations
    )


def _learnt_block(config: BloomConfig, batch: int, length: int, hidden: int, item: int) -> int:
    """RETURNS (int): Bytes of a block that is computed again, and of its gradients. Measured."""
    bias = config.n_head * length**2 * FLOAT  # one for sequences of like lengths
    return 24 * hidden + 2 * bias


def _check(dtype: str, **numbers: int) -> None:
    if dtype not in ITEMSIZES:
        raise InputError(f"Expected dtype to be one of {', '.join(ITEMSIZES)}, got {dtype!r}.")
    for name, value in numbers.items():
        if value < 1:
            raise InputError(f"Expected {name} of at least 1, got {value}.")


def _shapes(config: BloomConfig) -> dict[str, tuple[int, ...]]:
    """RETURNS (dict[str, tuple[int, ...]]): Shapes of a language model's weights by name; a tied head is none."""
    shapes = decoder_shapes(config)
    head = {} if config.tie_word_embeddings else {TIED_HEAD: shapes[EMBEDDING]}
    return {**shapes, **head}


def _parts(config: BloomConfig, placement: Placement, dtype: str) -> Iterator[tuple[str, int]]:
    """YIELDS (tuple[str, int]): Name and bytes of a rank's part of each weight."""
    for name, shape in _shapes(config).items():
        slices = placement(name, shape).slices
        own = [len(range(*cut.indices(size))) for cut, size in zip(slices, shape, strict=False)]
        is_float = dtype == "int8" and not _is_matrix(name)
        yield name, prod([*own, *shape[len(own) :]]) * (FLOAT if is_float else ITEMSIZES[dtype])


def _is_matrix(name: str) -> bool:
    return name.endswith(".weight") and not name.removesuffix(".weight").endswith(("layernorm", "ln_f"))


def _block_states(config: BloomConfig, n_ranks: int, batch: int, length: int, item: int) -> int:
    """RETURNS (int): Bytes of a pass through a block at its widest, with what stays from block to block."""
    whole, rest = divmod(length, CHUNK_PIECES)
    passes = [(CHUNK_PIECES, whole * CHUNK_PIECES)] * (whole > 0) + [(rest, length)] * (rest > 0)
    return max(_pass(config, n_ranks, batch, *places, item) for places in passes)


def _pass(config: BloomConfig, n_ranks: int, batch: int, queries: int, keys: int, item: int) -> int:
    hidden = batch * queries * config.hidden_size * item
    scores = batch * (config.n_head // n_ranks) * queries * keys * FLOAT
    # Few scores are whole in memory, and their softmax; in 16 bits, what the bias is rounded from and to is.
    copies = 2 if item != FLOAT or queries * keys <= SMALL_SCORES else 0
    bias = scores + batch * queries * keys * (2 * FLOAT + FLOAT + 1)  # distances, and what is masked
    attention = hidden + 4 * hidden // n_ranks + copies * scores
    mlp = 3 * hidden + 4 * hidden // n_ranks
    return hidden + max(bias, scores + max(attention, mlp))


def _logits(config: BloomConfig, n_ranks: int, batch: int) -> int:
    """RETURNS (int): Bytes of the logits of a step: a rank's own, those of all, side by side and joined."""
    return batch * config.vocab_size * FLOAT * 2 + 2 * batch * -(-config.vocab_size // n_ranks) * FLOAT
