"""Settings of the token classifier."""

from dataclasses import dataclass

from ...errors import ConfigError

TARGETS = ("ents", "tag", "pos", "spans")


@dataclass(frozen=True, kw_only=True)
class TokenClassifierSettings:
    """What a token classifier writes, and where.

    target (str): "ents" (doc.ents), "spans" (doc.spans[spans_key]), "tag" (token.tag_) or "pos" (token.pos_).
        Entities and spans are decoded under the constraints of their tagging scheme.
    spans_key (str): Where spans are read and written with target "spans". Their probabilities are in the group's
        attrs["scores"]; spans that were there before have NaN.
    checkpoint (str | None): A Hugging Face token-classification checkpoint to take labels and classifier from; use
        the same checkpoint for the transformer.
    scores_attr (str | None): Name of a token extension for probabilities: token._.NAME is a dict of them by tag.
    overwrite (bool): Whether existing annotation is replaced. If not, it is kept, and predictions that overlap it
        are dropped.
    RAISES (ConfigError): An unknown target.
    """

    target: str = "ents"
    spans_key: str = "sc"
    checkpoint: str | None = None
    scores_attr: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ConfigError(f"Expected target to be one of {TARGETS}, got {self.target!r}.")
