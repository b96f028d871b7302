"""Settings of the surprisal component."""

from dataclasses import dataclass

from ...errors import ConfigError
from ...settings import PositiveInt, check_settings
from ...thinc_layers.pieces.windows import WindowSettings


@dataclass(frozen=True, kw_only=True)
class SurprisalSettings:
    """What is measured, and where it is written.

    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    attr (str): Extension of tokens, in bits; the same extension of spans is the sum over their tokens.
    perplexity_attr (str | None): Extension of Docs: 2 to the mean bits of a piece, before any correction. It depends
        on the tokenizer. None writes none.
    bits_per_byte_attr (str | None): Extension of Docs: bits divided by the UTF-8 bytes of the text, which compares
        across tokenizers. None writes none.
    bos (bool): Whether a Doc is read as the beginning of a document, with `</s>` before it, as BLOOM's training
        separates documents. Otherwise nothing is known of a Doc's first piece: it counts in no sum, and tokens with
        a part in it have NaN.
    leading_space_correction (bool): Let the space before a word belong to the word before it: a token that is
        followed by a space or the end of the text is multiplied by the probability of that, summed over all pieces
        that begin with a space and `</s>`; what follows a space is divided by it. The first word of a Doc, which has
        no space before it, is divided by nothing. The sum over tokens is that over pieces and the end of the text.
    window (int): Maximum number of pieces that the model reads at once; longer Docs are cut.
    context (int): Pieces to the left that a window shares with the one before it: at least so many are read before
        any piece that is not in a Doc's first window. Only the first window begins with `</s>`.
    max_batch_items (int): Budget of a packed batch, in pieces; a longer window is a batch of its own.
    RAISES (ConfigError): A setting has a wrong value.
    SOURCE: Correction: Oh and Schuler 2024 (arXiv 2406.10851); Pimentel and Meister 2024 (arXiv 2406.14561).
    """

    upstream: str | None = None
    attr: str = "surprisal"
    perplexity_attr: str | None = "perplexity"
    bits_per_byte_attr: str | None = "bits_per_byte"
    bos: bool = True
    leading_space_correction: bool = False
    window: int = 1024
    context: int = 512
    max_batch_items: PositiveInt = 1024

    def __post_init__(self) -> None:
        check_settings(self, "bloom_surprisal")
        WindowSettings(self.window, self.context)  # checks them
        names = self.attr, self.perplexity_attr, self.bits_per_byte_attr
        if "" in names or (self.perplexity_attr is not None and names[1] == names[2]):
            raise ConfigError(
                "Expected names of extensions: attr, and two different ones (or null) as perplexity_attr and "
                f"bits_per_byte_attr; got {names[0]!r}, {names[1]!r} and {names[2]!r}."
            )
