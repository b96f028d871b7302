"""The component that gives every Doc labels: one of them, or any number."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, List

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.util import registry
from thinc.api import Config, Model
from thinc.types import Floats2d

from ..errors import ConfigError
from ..thinc_layers.output_layer import find_head, load_output, set_output
from .base.calibration import tempered, tempered_odds
from .base.cats_scores import NO_WEIGHTS, score_own_cats
from .base.component import announce, component
from .base.labelled_pipe import LabelledPipe
from .categorizing.losses import binary_loss, exclusive_loss
from .categorizing.settings import TextClassifierSettings

DEFAULT_CONFIG = Config().from_str("""
[bloom_text_classifier]
scorer = {"@scorers": "spacy-bloom.text_classifier_scorer.v1"}

[bloom_text_classifier.model]
@architectures = "spacy-bloom.TextClassifier.v1"
bias = true

[bloom_text_classifier.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"
pooling = {"@layers": "reduce_last.v1"}
""")["bloom_text_classifier"]

ASSIGNS = ["doc.cats"]
SCORE_WEIGHTS = {"cats_score": 1.0, **NO_WEIGHTS}


def text_classifier_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): `score_own_cats` of the component's labels."""
    return score_own_cats(examples, multi_label=kwargs.get("exclusive") is False, **kwargs)


@registry.scorers("spacy-bloom.text_classifier_scorer.v1")
def make_text_classifier_scorer() -> Callable:
    """RETURNS (Callable): `text_classifier_score`."""
    return text_classifier_score


@component(
    "bloom_text_classifier",
    TextClassifierSettings,
    DEFAULT_CONFIG,
    assigns=ASSIGNS,
    score_weights=SCORE_WEIGHTS,
)
class BloomTextClassifier(LabelledPipe):
    """Writes doc.cats from the vectors of a Doc's pieces, and from its words if the model has a second classifier.

    A Doc without tokens gets 0 for every label, and nothing is learnt from it. Other components' labels in the same
    doc.cats are left alone, in prediction, training and scoring.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.TextClassifier.v2`.
    name (str): Name of the component.
    scorer (Callable | None): Scores Examples.
    **settings: Those of `TextClassifierSettings`.
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
        scorer: Callable | None = text_classifier_score,
        **settings: Any,
    ) -> None:
        own = TextClassifierSettings(**settings)
        super().__init__(nlp, model, name, scorer=scorer, settings=own, labels=[])
        announce(
            nlp,
            "bloom_text_classifier",
            like="textcat_multilabel" if own.exclusive is False else "textcat",
            assigns=ASSIGNS,
            score_weights=SCORE_WEIGHTS,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in the order of the model's outputs."""
        return tuple(self.cfg["labels"])

    @property
    def exclusive(self) -> bool:
        """RETURNS (bool): Whether a Doc has one label."""
        return self.cfg["exclusive"] is not False

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        positive_label: str | None = None,
    ) -> None:
        """Prepare for training; a classifier from a checkpoint keeps its labels and weights.

        get_examples (Callable): Returns a representative sample.
        labels (Sequence[str] | None): Labels, for example from a file. None takes those of all examples.
        positive_label (str | None): Replaces that of the config.
        RAISES (ConfigError): Too few labels, or a positive label that is not one of two exclusive ones.
        """
        validate_get_examples(get_examples, "BloomTextClassifier.initialize")
        if self.cfg["checkpoint"] is not None:
            self._load_checkpoint()
        else:
            found = {label for eg in get_examples() for label in eg.reference.cats}
            set_output(self.model, self._set_labels(sorted(found) if labels is None else labels))
        if positive_label is not None:
            self.cfg["positive_label"] = positive_label
        self._check_positive_label()
        self._check_gold(get_examples())
        self._initialize_model(get_examples)

    def _set_labels(self, labels: Iterable[str]) -> int:
        n_outputs = self._extend_labels(labels)
        needed = 2 if self.exclusive else 1
        if n_outputs < needed:
            raise ConfigError(
                f"{self.name!r} needs {needed} labels or more, got {list(self.labels)}. Give labels in "
                "[initialize.components], check doc.cats in the corpus, or set exclusive = false if a Doc may "
                "have none of them."
            )
        return n_outputs

    def _extend_labels(self, labels: Iterable[str]) -> int:
        self.cfg["labels"] = list(dict.fromkeys([*self.labels, *labels]))
        return len(self.cfg["labels"])

    def _check_positive_label(self) -> None:
        label = self.cfg["positive_label"]
        if label is not None and not (self.exclusive and len(self.labels) == 2 and label in self.labels):
            raise ConfigError(
                f"Expected positive_label to be one of two exclusive labels, got {label!r} with the labels "
                f"{list(self.labels)} and exclusive = {str(self.exclusive).lower()}. Leave it out for others."
            )

    def _read_checkpoint(self) -> None:
        source, config = find_head(self.cfg["checkpoint"])
        if config.problem_type == "regression":
            raise ConfigError(
                f"Expected a classifier in {source.path}, got problem_type 'regression', whose outputs are no labels."
            )
        if self.cfg["exclusive"] is None:
            self.cfg["exclusive"] = config.problem_type != "multi_label_classification"
        self._set_labels(config.id2label.values())
        load_output(self.model, source, config, head="score", n_outputs=config.num_labels, bias=False)

    def predict(self, docs: Iterable[Doc]) -> NDArray[numpy.float32]:
        """RETURNS (NDArray): Scores by Doc and label; nothing is written on the Docs. Shape (Docs, labels)."""
        docs = list(docs)
        self._get_ready()
        scores = numpy.zeros((len(docs), len(self.labels)), dtype="float32")
        logits = self._run(docs)
        if logits is not None:
            ops = self.model.ops
            filled = [len(doc) > 0 for doc in docs]
            activate = ops.softmax if self.exclusive else ops.sigmoid
            scores[filled] = self._temper(ops.to_numpy(activate(logits))[filled], self.cfg["temperature"])
        return scores

    def _temper(self, scores: NDArray[numpy.float32], temperature: float) -> NDArray[numpy.float32]:
        return (tempered if self.exclusive else tempered_odds)(scores, temperature)

    def certainties(
        self, predictions: NDArray[numpy.float32], examples: Sequence[Example], temperature: float
    ) -> tuple[NDArray, NDArray]:
        """See LabelledPipe: of each Doc's best label, or of every label if they are not exclusive."""
        gold = [eg.reference.cats if len(eg.predicted) else {} for eg in examples]
        scores = self._temper(predictions, temperature)
        truth = numpy.array(
            [[cats.get(label, 0.0) > 0.5 for label in self.labels] for cats in gold], dtype=bool
        )
        if not self.exclusive:
            known = numpy.array([[label in cats for label in self.labels] for cats in gold], dtype=bool)
            return scores[known], truth[known]
        annotated = numpy.flatnonzero(truth.any(axis=1))
        best = scores[annotated].argmax(axis=1)
        return scores[annotated, best], truth[annotated, best]

    def set_annotations(self, docs: Iterable[Doc], predictions: NDArray[numpy.float32]) -> None:
        """Write the scores to doc.cats."""
        for doc, scores in zip(docs, predictions, strict=True):
            doc.cats.update(zip(self.labels, scores.tolist(), strict=True))

    def _learn(self, examples: list[Example]) -> float:
        self._check_gold(examples)
        return super()._learn(examples)

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> tuple[float, Floats2d]:
        """Cross entropy, summed like that of spaCy's components, so that they share a transformer fairly. Labels
        without gold annotation and Docs without tokens are left out.

        scores (Floats2d): Logits. Shape (Docs, labels).
        RETURNS (tuple[float, Floats2d]): The loss, and its gradient.
        """
        gold = [eg.reference.cats if len(eg.predicted) else {} for eg in examples]
        truths = [[cats.get(label, 0.0) for label in self.labels] for cats in gold]
        known = [[float(label in cats) for label in self.labels] for cats in gold]
        ops = self.model.ops
        loss = exclusive_loss if self.exclusive else binary_loss
        return loss(ops, scores, ops.asarray2f(truths), ops.asarray2f(known))

    def _check_gold(self, examples: Iterable[Example]) -> None:
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
