"""The sizes in which BLOOM was published: their geometry is known without any file."""

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


def published_config(name: str) -> BloomConfig | None:
    """name (str): Of a published size, with or without its owner: "bloom-7b1", "bigscience/bloom-7b1".
    RETURNS (BloomConfig | None): Its geometry; None for other names.
    """
    geometry = GEOMETRIES.get(name.removeprefix(f"{OWNER}/"))
    if geometry is None:
        return None
    hidden_size, n_layer, n_head = geometry
    return BloomConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden_size,
        n_layer=n_layer,
        n_head=n_head,
        pad_token_id=3,
        extra={"architectures": ["BloomForCausalLM"]},
    )
