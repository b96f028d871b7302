"""Describing a checkpoint and the memory it needs, from its config and the headers of its files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import TOKENIZER_FILE, WeightFiles, has_weights
from ..checkpoint.load import match_weights
from ..checkpoint.names import EMBEDDING, TIED_HEAD, decoder_shapes, head_class, is_head
from ..checkpoint.sources import SMALL_FILES
from ..config import BloomConfig
from ..errors import CheckpointError
from ..published import N_PIECES
from ..tokenizer import BloomTokenizerFast

# Bytes per element. In int8, the matrices of the blocks have one byte and a float32 scale per row; all other weights,
# keys and values have two bytes.
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
SCALE, REST = 4, 2
# The cache grows evenly; its size is given for this many pieces.
CACHED_PIECES = 1000


@dataclass(frozen=True)
class Description:
    """Facts about a checkpoint. Sizes are in bytes.

    name (str): As the user gave it.
    path (str | None): Its directory; None for a published size that is not on this machine.
    architecture (str): Its class, from the config or else from the head in the files.
    hidden_size, n_layer, n_head, vocab_size (int): The geometry.
    n_pieces (int | None): Pieces of the tokenizer; None if there is none.
    parameters (int): Number of parameters, including a head; tied ones count once.
    parameters_without_embeddings (int): The same without the embedding matrix.
    head (Mapping[str, tuple[int, ...]]): Shapes of the head's own weights, by name.
    labels (list[str] | None): A classifier's labels, in the order of its scores.
    files (Mapping[str, int]): File sizes by name; the weights come last.
    dtypes (Mapping[str, int]): Number of weights in each dtype.
    weights (Mapping[str, int]): Memory of the weights by dtype.
    cache (Mapping[str, int]): Memory of the keys and values of 1,000 pieces, by the weights' dtype.
    problem (str | None): Why the weights could not be loaded.
    """

    name: str
    path: str | None
    architecture: str
    hidden_size: int
    n_layer: int
    n_head: int
    vocab_size: int
    n_pieces: int | None
    parameters: int
    parameters_without_embeddings: int
    head: Mapping[str, tuple[int, ...]]
    labels: list[str] | None
    files: Mapping[str, int]
    dtypes: Mapping[str, int]
    weights: Mapping[str, int]
    cache: Mapping[str, int]
    problem: str | None = None

    def memory(self, dtype: str) -> int:
        """RETURNS (int): Bytes of the weights and of the cache of 1,000 pieces."""
        return self.weights[dtype] + self.cache[dtype]


def describe_directory(name: str, path: Path) -> Description:
    """name (str): Name for the user.
    path (Path): Directory in the Hugging Face layout; the weights may be missing.
    RETURNS (Description): The description.
    RAISES (BloomError): The config or the tokenizer is damaged.
    """
    checkpoint = Checkpoint(path)
    config = checkpoint.config
    has_tokenizer = (path / TOKENIZER_FILE).is_file()
    n_pieces = len(BloomTokenizerFast.from_checkpoint(checkpoint)) if has_tokenizer else None
    files = [path / file for file in SMALL_FILES if (path / file).is_file()]
    weights, problem = None, None
    if has_weights(path):
        try:
            files += checkpoint.weight_files
            weights = checkpoint.weights
            match_weights(decoder_shapes(config), weights)
        except CheckpointError as error:
            problem = str(error)
    return _describe(name, path, config, weights, n_pieces, files, problem)


def describe_published(name: str, config: BloomConfig) -> Description:
    """name (str): Name of the published size.
    config (BloomConfig): Its geometry.
    RETURNS (Description): The description, made without any file.
    """
    return _describe(name, None, config, None, N_PIECES, [], None)


def _describe(
    name: str,
    path: Path | None,
    config: BloomConfig,
    files: WeightFiles | None,
    n_pieces: int | None,
    paths: list[Path],
    problem: str | None,
) -> Description:
    decoder = decoder_shapes(config)
    head = {} if files is None else {n: shape for n, shape in files.shapes.items() if is_head(n)}
    if config.tie_word_embeddings:
        head.pop(TIED_HEAD, None)
    elif files is None:
        head[TIED_HEAD] = decoder[EMBEDDING]
    shapes = {**decoder, **head}
    parameters = sum(map(prod, shapes.values()))
    given = config.extra.get("architectures")
    # Labels are those of a classifier: a language model's config may hold some, which nothing reads.
    is_classifier = any(weight.startswith(("classifier.", "score.")) for weight in head)
    return Description(
        name=name,
        path=None if path is None else str(path),
        architecture=str(given[0]) if isinstance(given, list) and given else head_class(head),
        hidden_size=config.hidden_size,
        n_layer=config.n_layer,
        n_head=config.n_head,
        vocab_size=config.vocab_size,
        n_pieces=n_pieces,
        parameters=parameters,
        parameters_without_embeddings=parameters - prod(decoder[EMBEDDING]),
        head=head,
        labels=list(config.id2label.values()) if is_classifier and config.has_labels else None,
        files={file.name: file.stat().st_size for file in paths},
        dtypes={} if files is None else dict(Counter(weight.dtype for weight in files.weights.values())),
        weights={**{dtype: parameters * n for dtype, n in ITEMSIZES.items()}, "int8": _int8_size(shapes)},
        cache={dtype: _cache_size(config, n) for dtype, n in {**ITEMSIZES, "int8": REST}.items()},
        problem=problem,
    )


def _int8_size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    matrices = [shape for name, shape in shapes.items() if name.startswith("h.") and len(shape) == 2]
    rest = sum(map(prod, shapes.values())) - sum(map(prod, matrices))
    return sum(prod(shape) + SCALE * shape[0] for shape in matrices) + REST * rest


def _cache_size(config: BloomConfig, itemsize: int) -> int:
    return 2 * config.n_layer * config.hidden_size * CACHED_PIECES * itemsize  # keys and values
