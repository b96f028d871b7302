"""The sizes in which BLOOM was published, and what was published about them: known without any file."""

from collections.abc import Mapping
from dataclasses import dataclass

from .config import BloomConfig

OWNER = "bigscience"  # whose the checkpoints on the Hub are
VOCAB_SIZE = 250_880  # rows of the embedding: pieces, and rows that make sharded products even
N_PIECES = 250_680  # of the tokenizer
# By name: hidden_size, n_layer, n_head.
GEOMETRIES = {
    "bloom-560m": (1024, 24, 16),
    "bloom-1b1": (1536, 24, 16),
    "bloom-1b7": (2048, 24, 16),
    "bloom-3b": (2560, 30, 32),
    "bloom-7b1": (4096, 30, 32),
    "bloom": (14336, 70, 112),
}
# As the model cards count them: a tied head counts once.
PARAMETERS = {
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom": 176_247_271_424,
}
# Ids of the tokenizer, the same for all sizes; control tokens in text are read as such.
TOKENIZED = {
    "The quick brown fox</s>": (2175, 23714, 73173, 144252, 2),
    "jumps over the lazy dog</s>": (77, 132619, 3478, 368, 109586, 35433, 2),
}


@dataclass(frozen=True)
class PublishedTexts:
    """Prompts in one batch padded on the left, and how greedy decoding in float32 goes on.

    max_length (int): Length of the longest prompt and what follows it, in pieces.
    texts (Mapping[str, str]): The continuation of each prompt.
    """

    max_length: int
    texts: Mapping[str, str]


# SOURCE: transformers' tests of BLOOM, which name the size and its revision.
TEXTS_SIZE, TEXTS_REVISION = "bloom-560m", "gs555750"
TEXTS = (
    PublishedTexts(
        50,
        {
            "I enjoy walking with my cute dog": ", and I love to watch the kids play with the kids. I am a very "
            "active person, and I enjoy working out, and I am a very active person. I am a very active person, and I"
        },
    ),
    PublishedTexts(
        20,
        {
            "Running a quick test with the": " following command:\nsudo apt-get install python3\nsudo apt-get "
            "install python2",
            "Hello what is": " the best way to get the data from the server? I have tried",
        },
    ),
)


def published_size(name: str) -> str | None:
    """name (str): With or without its owner: "bloom-7b1", "bigscience/bloom-7b1".
    RETURNS (str | None): The published size of this name, "bloom-7b1"; None for other names.
    """
    size = name.removeprefix(f"{OWNER}/")
    return size if size in GEOMETRIES else None


def published_config(name: str) -> BloomConfig | None:
    """name (str): Of a published size, with or without its owner: "bloom-7b1", "bigscience/bloom-7b1".
    RETURNS (BloomConfig | None): Its geometry; None for other names.
    """
    size = published_size(name)
    if size is None:
        return None
    hidden_size, n_layer, n_head = GEOMETRIES[size]
    return BloomConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden_size,
        n_layer=n_layer,
        n_head=n_head,
        pad_token_id=3,
        extra={"architectures": ["BloomForCausalLM"]},
    )
