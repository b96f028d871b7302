"""Settings of the zero-shot component."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from ...errors import BloomError, BloomWarning, ConfigError
from ...settings import PositiveInt, check_settings, number
from .zero_shot_questions import make_template


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings:
    """Labels, prompts, and how their likelihoods become scores.

    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    labels (list[str] | None): The labels. Those on `doc._.labels` (a list of texts) take precedence; None if all Docs
        have some.
    prompt (str | None): A Jinja2 template over `doc`. `labels` is the list of labels as they are spelt in prompts;
        with multi_label, `label` is the one that is asked about. None asks for the text's topic. Begin with what is
        the same for all labels: it is computed once.
    verbalizers (dict[str, str] | None): Label to the text that follows the prompt; by default a space and the label.
        With multi_label: to the text that stands for it in the prompt; by default the label.
    multi_label (bool): Ask about each label separately: its score is the probability of `yes` against `no`.
        Otherwise the scores of a Doc sum to 1.
    yes, no (str): The two answers with multi_label.
    length_normalized (bool): Compare means over the pieces of labels, not sums: labels of many pieces are less
        likely by their length alone.
    calibrated (bool): Divide every likelihood by the one under the same prompt over a text that says nothing, and
        normalize again, so that labels that the model likes after any text have no advantage. Computed once and kept.
    content_free (str): The text that says nothing.
    threshold (float): Score from which a label counts as predicted, in scoring with multi_label.
    max_batch_items (int | None): Pieces of prompts whose keys and values are in memory at once, padding included, and
        again of prompts with an answer; a longer prompt is computed alone. None takes as many as fit in a twentieth
        of the memory of the weights, or in 64 MB if that is more.
    max_prompt_pieces (int | None): Maximum length of a prompt in pieces. A Doc's text is cut at its end, so that the
        prompt fits and what the template says after the text stays; a BloomWarning counts such Docs. A prompt that
        does not hold the text as it is, or is too long without it, is an error for that Doc. None cuts nothing.
    RAISES (ConfigError): A setting has a wrong value.
    SOURCE: Zhao et al. 2021, Calibrate Before Use: the diagonal matrix W, applied to the likelihoods; the paper's
        softmax of the quotients has the same order.
    """

    upstream: str | None = None
    labels: list[str] | None = None
    prompt: str | None = None
    verbalizers: dict[str, str] | None = None
    multi_label: bool = False
    yes: str = " yes"
    no: str = " no"
    length_normalized: bool = False
    calibrated: bool = False
    content_free: str = "N/A"
    threshold: Annotated[float, number(0, 1)] = 0.5
    max_batch_items: PositiveInt | None = None
    max_prompt_pieces: PositiveInt | None = 2048

    def __post_init__(self) -> None:
        check_settings(self, "bloom_zero_shot")
        if self.labels is not None:
            object.__setattr__(self, "labels", checked_labels(self.labels, "labels", ConfigError))
        self._check_texts()
        make_template(self.prompt, self.multi_label)
        self._warn_of_unusual()

    def _check_texts(self) -> None:
        if self.labels is not None and len(self.labels) < 2 and not self.multi_label:
            raise ConfigError(
                f"Expected two labels or more, got {self.labels}: the score of a single label is always 1. Add "
                "another, or set multi_label = true to ask about each separately."
            )
        verbalizers = {
            f"the verbalizer of {label!r}": text for label, text in (self.verbalizers or {}).items()
        }
        for name, text in {**verbalizers, "yes": self.yes, "no": self.no}.items():
            if not isinstance(text, str) or not text.strip():
                raise ConfigError(f"Expected {name} to be text that is not empty, got {text!r}.")
        if self.yes == self.no:
            raise ConfigError(f"Expected yes and no to be different texts, got {self.yes!r} for both.")

    def _warn_of_unusual(self) -> None:
        """Warn of what works, but is most likely a mistake."""
        unknown = _unknown(self.verbalizers or (), self.labels)
        if unknown:
            warnings.warn(
                f"Got verbalizers for {unknown}, which are not among the labels {self.labels}: they are used only "
                "for Docs that have these labels on doc._.labels.",
                BloomWarning,
                stacklevel=2,
            )
        if self.prompt is not None and self.prompt.endswith(" "):
            warnings.warn(
                f"Got a prompt that ends in a space: {self.prompt[-20:]!r}. Pieces begin with the space before a "
                "word: end the prompt without one, and begin the verbalizers with it.",
                BloomWarning,
                stacklevel=2,
            )


def _unknown(verbalizers: Collection[str], labels: Collection[str] | None) -> list[str]:
    return sorted(set(verbalizers) - set(labels)) if labels else []


def checked_labels(labels: Any, where: str, error: type[BloomError]) -> list[str]:
    """RETURNS (list[str]): The labels.
    RAISES (BloomError): They are not one or more different texts.
    """
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise error(f"Expected {where} to be a list of texts, got {labels!r}.")
    if not labels:
        raise error(f"Expected {where} to have one label or more, got none. Leave it out if there are none.")
    if not all(label.strip() for label in labels):
        raise error(f"Expected {where} to be texts that are not empty, got {list(labels)}.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise error(
            f"Expected {where} to be different, got {repeated} more than once. Remove the repetitions."
        )
    return list(labels)
