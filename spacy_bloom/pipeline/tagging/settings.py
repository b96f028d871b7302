"""Settings of the token classifier."""

from dataclasses import dataclass
from typing import Annotated

from ...errors import ConfigError
from ...settings import check_settings, number, one_of


@dataclass(frozen=True, kw_only=True)
class TokenClassifierSettings:
    """What a token classifier writes, and where.

    target (str): "ents" (doc.ents), "spans" (doc.spans[spans_key]), "tag" (token.tag_) or "pos" (token.pos_).
        Entities and spans are decoded under the constraints of their tagging scheme.
    spans_key (str): Where spans are read and written with target "spans". Their probabilities, each that of the
        span's least certain tag, are in the group's attrs["scores"]; spans that were there before have NaN.
    checkpoint (str | None): A Hugging Face token-classification checkpoint to take labels and classifier from; use
        the same checkpoint for the transformer.
    scores_attr (str | None): Name of a token extension for probabilities: token._.NAME is a dict of them by tag.
    score_attr (str | None): Name of a span extension for the probabilities of entities: ent._.NAME.
    temperature (float): Divides the logits of the probabilities, so that they mean what they say. What is predicted
        stays the same. `bloom calibrate` finds it.
    outside_bias (float): Added to the logit of the tag for tokens outside of entities or spans. Below 0, more is found,
        and less of it is right. Choose it on development data, before a temperature.
    overwrite (bool): Whether existing annotation is replaced. If not, it is kept, and predictions that overlap it
        are dropped.
    RAISES (ConfigError): A setting has a wrong value.
    """

    target: Annotated[str, one_of("ents", "tag", "pos", "spans")] = "ents"
    spans_key: str = "sc"
    checkpoint: str | None = None
    scores_attr: str | None = None
    score_attr: str | None = None
    temperature: Annotated[float, number(above=0)] = 1.0
    outside_bias: Annotated[float, number(-100, 100)] = 0.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_settings(self, "bloom_token_classifier")
        if self.outside_bias and self.target in ("tag", "pos"):
            raise ConfigError(
                f"Expected no outside_bias for the target {self.target!r}, whose tokens are never outside, got "
                f"{self.outside_bias}. Leave it out."
            )

    @property
    def score(self) -> str:
        """RETURNS (str): The name of the score that counts."""
        return {"ents": "ents_f", "spans": f"spans_{self.spans_key}_f"}.get(self.target, f"{self.target}_acc")
