"""The component that gives every Doc labels: one of them, or any number."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, List, Optional

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline.textcat import TextCategorizer
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.util import registry
from thinc.api import Config, Model, Optimizer
from thinc.types import Floats2d

from ..errors import ConfigError
from ..thinc_layers.output_layer import find_head, load_output, set_output
from .base.cats_scores import NO_WEIGHTS, score_own_cats
from .tagging.checkpoint_head import CheckpointHead

DEFAULT_CONFIG = """
[bloom_text_classifier]
exclusive = null
threshold = 0.5
positive_label = null
checkpoint = null
scorer = {"@scorers": "spacy-bloom.text_classifier_scorer.v1"}

[bloom_text_classifier.model]
@architectures = "spacy-bloom.TextClassifier.v1"
bias = true

[bloom_text_classifier.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"
pooling = {"@layers": "reduce_last.v1"}
"""


@Language.factory(
    "bloom_text_classifier",
    assigns=["doc.cats"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bloom_text_classifier"],
    default_score_weights={"cats_score": 1.0, **NO_WEIGHTS},
)
def make_bloom_text_classifier(
    nlp: Language,
    name: str,
    model: Model[List[Doc], Floats2d],
    exclusive: Optional[bool],
    threshold: float,
    positive_label: Optional[str],
    checkpoint: Optional[str],
    scorer: Optional[Callable],
) -> "BloomTextClassifier":
    """Make the component. Arguments as for `BloomTextClassifier`."""
    return BloomTextClassifier(
        nlp,
        model,
        name,
        exclusive=exclusive,
        threshold=threshold,
        positive_label=positive_label,
        checkpoint=checkpoint,
        scorer=scorer,
    )


def text_classifier_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): `score_own_cats` of the component's labels."""
    return score_own_cats(examples, multi_label=kwargs.get("exclusive") is False, **kwargs)


@registry.scorers("spacy-bloom.text_classifier_scorer.v1")
def make_text_classifier_scorer() -> Callable:
    """RETURNS (Callable): `text_classifier_score`."""
    return text_classifier_score


class BloomTextClassifier(CheckpointHead, TextCategorizer):
    """spaCy's TextCategorizer over the vectors of a Doc's pieces: it writes doc.cats.

    A Doc without tokens gets 0 for every label, and nothing is learnt from it: there is nothing to tell labels by.
    Other components' labels on the same doc.cats are left alone, in prediction, training and scoring.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.TextClassifier.v1`.
    name (str): Name of the component.
    exclusive (bool | None): Whether a Doc has one label, with scores that sum to 1 (softmax), or any number,
        with scores of their own (sigmoid). None takes it from the checkpoint, and is true without one.
    threshold (float): Score from which a label counts as predicted, in scoring labels that are not exclusive.
    positive_label (str | None): The label whose F is the score, for two exclusive labels.
    checkpoint (str | None): A Hugging Face checkpoint for sequence classification to take labels and
        classifier from; use the same checkpoint for the transformer.
    scorer (Callable | None): Scores Examples.
    """

    checkpoint_kind = "sequence-classification"
    found_settings = ("labels", "positive_label")  # initialize may have been given one
    open_settings = ("exclusive",)

    def __init__(
        self,
        nlp: Language,
        model: Model[List[Doc], Floats2d],
        name: str = "bloom_text_classifier",
        *,
        exclusive: bool | None = None,
        threshold: float = 0.5,
        positive_label: str | None = None,
        checkpoint: str | None = None,
        scorer: Callable | None = text_classifier_score,
    ) -> None:
        super().__init__(nlp.vocab, model, name, threshold=threshold, scorer=scorer)
        self.cfg |= {"exclusive": exclusive, "positive_label": positive_label, "checkpoint": checkpoint}

    @property
    def exclusive(self) -> bool:
        """RETURNS (bool): Whether a Doc has one label."""
        return self.cfg["exclusive"] is not False

    @property
    def support_missing_values(self) -> bool:
        """RETURNS (bool): True; labels without gold annotation are not taken for false."""
        return True

    def initialize(  # type: ignore[override]
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        positive_label: str | None = None,
    ) -> None:
        """Prepare for training; a classifier from a checkpoint keeps its labels and weights.

        get_examples (Callable): Returns a representative sample.
        labels (Sequence[str] | None): Labels, for example from a file; found in all of the examples if None.
        positive_label (str | None): Replaces that of the config.
        RAISES (ConfigError): Too few labels, or a positive label that is not one of two exclusive ones.
        """
        validate_get_examples(get_examples, "BloomTextClassifier.initialize")
        if self.cfg["checkpoint"] is not None:
            self._load_checkpoint()
        else:
            found = {label for eg in get_examples() for label in eg.reference.cats}
            self._set_labels([*self.labels, *(sorted(found) if labels is None else labels)])
            set_output(self.model, len(self.labels))
        if positive_label is not None:
            self.cfg["positive_label"] = positive_label
        self._check_positive_label()
        self._validate_categories(get_examples())
        self._initialize_model(get_examples)

    def _set_labels(self, labels: Iterable[str]) -> None:
        found = list(dict.fromkeys(labels))
        needed = 2 if self.exclusive else 1
        if len(found) < needed:
            raise ConfigError(
                f"{self.name!r} needs {needed} labels or more, got {found}. Give labels in "
                "[initialize.components], check doc.cats in the corpus, or set exclusive = false if a Doc may "
                "have none of them."
            )
        self.cfg["labels"] = found

    def _check_positive_label(self) -> None:
        label = self.cfg["positive_label"]
        if label is not None and not (self.exclusive and len(self.labels) == 2 and label in self.labels):
            raise ConfigError(
                f"Expected positive_label to be one of two exclusive labels, got {label!r} with the labels "
                f"{list(self.labels)} and exclusive = {str(self.exclusive).lower()}. Leave it out for others."
            )

    def _read_checkpoint(self) -> None:
        path, config = find_head(self.cfg["checkpoint"])
        if config.problem_type == "regression":
            raise ConfigError(
                f"Expected a classifier in {path}, got problem_type 'regression', whose outputs are no labels."
            )
        if self.cfg["exclusive"] is None:
            self.cfg["exclusive"] = config.problem_type != "multi_label_classification"
        self._set_labels((config.id2label or {}).values())
        load_output(self.model, path, config, head="score", n_outputs=config.num_labels, bias=False)

    def predict(self, docs: Iterable[Doc]) -> NDArray[numpy.float32]:
        """RETURNS (NDArray): Scores by Doc and label; nothing is written on the Docs. Shape (Docs, labels)."""
        docs = list(docs)
        self._get_ready()
        filled = [len(doc) > 0 for doc in docs]
        scores = numpy.zeros((len(docs), len(self.labels)), dtype="float32")
        if any(filled):
            ops = self.model.ops
            activate = ops.softmax if self.exclusive else ops.sigmoid
            scores[filled] = ops.to_numpy(activate(self.model.predict(docs)))[filled]
        return scores

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. Labels without annotation and Docs without tokens have no part in it.

        RETURNS (dict[str, float]): The losses, with the sum of this batch's cross entropies added, in nats.
        """
        self._get_ready()
        return super().update(list(examples), drop=drop, sgd=sgd, losses=losses)

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> tuple[float, Floats2d]:
        """Cross entropy, summed like that of spaCy's components, so that they share a transformer fairly.

        Of exclusive labels, one that is true says all. Where only some are known to be false, the loss is that
        of the others' sum; where all are, the annotation contradicts itself and counts as missing.

        scores (Floats2d): Logits. Shape (Docs, labels).
        RETURNS (tuple[float, Floats2d]): The loss, and its gradient.
        """
        examples = list(examples)
        truths, known = self._examples_to_truth(examples)  # each (Docs, labels) of 0 and 1
        known = self.model.ops.asarray2f(known)
        for i, eg in enumerate(examples):
            if not len(eg.predicted):
                truths[i] = known[i] = 0.0
        return (self._exclusive_loss if self.exclusive else self._binary_loss)(scores, truths, known)

    def _exclusive_loss(self, logits: Floats2d, truths: Floats2d, known: Floats2d) -> tuple[float, Floats2d]:
        xp = self.model.ops.xp
        possible = xp.where(truths.any(axis=1, keepdims=True), truths > 0, known == 0)
        possible |= ~possible.any(axis=1, keepdims=True)
        kept = xp.where(possible, logits, -xp.inf)
        loss = _log_sum_exp(xp, logits) - _log_sum_exp(xp, kept)
        return float(loss.sum()), self.model.ops.softmax(logits) - self.model.ops.softmax(kept)

    def _binary_loss(self, logits: Floats2d, truths: Floats2d, known: Floats2d) -> tuple[float, Floats2d]:
        loss = self.model.ops.xp.logaddexp(0, logits) - truths * logits
        return float((loss * known).sum()), (self.model.ops.sigmoid(logits) - truths) * known

    def _validate_categories(self, examples: Iterable[Example]) -> None:
        """RAISES (ConfigError): Gold scores other than 0 and 1, or two true labels of exclusive ones."""
        own = set(self.labels)
        for eg in examples:
            gold = {label: value for label, value in eg.reference.cats.items() if label in own}
            if not set(gold.values()) <= {0.0, 1.0}:
                raise ConfigError(f"Expected gold doc.cats to be 0.0 or 1.0, got {gold}.")
            if self.exclusive and sum(gold.values()) > 1:
                raise ConfigError(
                    f"{self.name!r} has exclusive labels, got a Doc with more than one: {gold}. "
                    "Set exclusive = false if that is right."
                )


def _log_sum_exp(xp: Any, logits: Floats2d) -> Floats2d:
    """RETURNS (Floats2d): Of each row, without overflow. Shape (rows, 1)."""
    largest = logits.max(axis=1, keepdims=True)
    return largest + xp.log(xp.exp(logits - largest).sum(axis=1, keepdims=True))
