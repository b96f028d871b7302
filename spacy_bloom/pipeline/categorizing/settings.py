"""Settings of the text classifier."""

from dataclasses import dataclass
from typing import Annotated

from ...settings import check_settings, number


@dataclass(frozen=True, kw_only=True)
class TextClassifierSettings:
    """How a text classifier's labels relate.

    exclusive (bool | None): Whether a Doc has one label, with scores that sum to 1 (softmax), or any number, each
        with a score of its own (sigmoid). None takes it from the checkpoint, and is true without one.
    threshold (float): Score from which a label counts as predicted, in scoring labels that are not exclusive.
    positive_label (str | None): The label whose F is the score, for two exclusive labels.
    checkpoint (str | None): A Hugging Face sequence-classification checkpoint to take labels and classifier from;
        use the same checkpoint for the transformer.
    temperature (float): Divides the logits, so that probabilities mean what they say; `bloom calibrate` finds it.
    RAISES (ConfigError): A setting has a wrong value.
    """

    exclusive: bool | None = None
    threshold: float = 0.5
    positive_label: str | None = None
    checkpoint: str | None = None
    temperature: Annotated[float, number(above=0)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self, "bloom_text_classifier")
