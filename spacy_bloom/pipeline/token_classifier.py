"""The component that labels tokens: entities, spans, tags or parts of speech."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, List

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline.spancat import SpanCategorizer
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span, Token
from spacy.training import Example, validate_get_examples
from spacy.util import registry
from thinc.api import Config, Model
from thinc.types import Floats1d, Floats2d

from ..errors import BloomWarning, ConfigError
from ..thinc_layers.output_layer import set_output
from ..thinc_layers.token_classifier import load_classifier
from .base.calibration import tempered
from .base.component import announce, component
from .base.extensions import add_extension
from .base.labelled_pipe import LabelledPipe
from .base.spans import edge_tokens
from .tagging.annotation import span_scores, write_attr, write_ents, write_probabilities, write_spans
from .tagging.decoding import Prediction, decode, no_tokens, tag_loss
from .tagging.gold_tags import MISSING, count_overlapping, gold_labels, gold_tags
from .tagging.sequences import decode_sequences, sequence_loss
from .tagging.settings import TokenClassifierSettings
from .tagging.tag_scheme import OUTSIDE, TagScheme, parse_tag, span_tags, tag_scheme

DEFAULT_CONFIG = Config().from_str("""
[bloom_token_classifier]
scorer = {"@scorers": "spacy-bloom.token_classifier_scorer.v1"}

[bloom_token_classifier.model]
@architectures = "spacy-bloom.TokenClassifier.v2"
encode = null

[bloom_token_classifier.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"
pooling = {"@layers": "reduce_mean.v1"}
""")["bloom_token_classifier"]

ASSIGNS = {
    "ents": ["doc.ents", "token.ent_iob", "token.ent_type"],
    "spans": ["doc.spans"],
    "tag": ["token.tag"],
    "pos": ["token.pos"],
}
# spaCy's factories that write the same. Its morphologizer writes more than parts of speech.
LIKE = {"ents": "ner", "spans": "spancat", "tag": "tagger", "pos": ""}

UntypedSpanCategorizer: Any = SpanCategorizer  # none of its methods is used


def token_classifier_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """spaCy's scores for what the component writes: ents_p/r/f, tag_acc, pos_acc, or spans_KEY_p/r/f.

    RETURNS (dict[str, Any]): Scores by name.
    """
    target, key = kwargs.get("target", "ents"), kwargs.get("spans_key", "sc")
    if target == "ents":
        return get_ner_prf(examples)
    if target in ("tag", "pos"):
        return Scorer.score_token_attr(examples, target)
    return Scorer.score_spans(
        examples,
        attr=f"spans_{key}",
        getter=lambda doc, _: doc.spans.get(key, []),
        has_annotation=lambda doc: key in doc.spans,
        allow_overlap=True,
    )


@registry.scorers("spacy-bloom.token_classifier_scorer.v1")
def make_token_classifier_scorer() -> Callable:
    """RETURNS (Callable): `token_classifier_score`."""
    return token_classifier_score


@component(
    "bloom_token_classifier",
    TokenClassifierSettings,
    DEFAULT_CONFIG,
    assigns=ASSIGNS["ents"],
    score_weights={"ents_f": 1.0},
)
class BloomTokenClassifier(LabelledPipe, UntypedSpanCategorizer):
    """Labels tokens from their vectors and writes entities, spans, tags or parts of speech. It is a SpanCategorizer in
    name only, as spaCy's `debug data` asks for one that writes spans.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.TokenClassifier.v2`.
    name (str): Name of the component.
    scorer (Callable | None): Scores Examples.
    **settings: Those of `TokenClassifierSettings`.
    """

    checkpoint_kind = "token-classification"
    found_settings = ("tags",)

    def __init__(
        self,
        nlp: Language,
        model: Model[List[Doc], List[Floats2d]],
        name: str = "bloom_token_classifier",
        *,
        scorer: Callable | None = token_classifier_score,
        **settings: Any,
    ) -> None:
        own = TokenClassifierSettings(**settings)
        super().__init__(nlp, model, name, scorer=scorer, settings=own, tags=[])
        announce(
            nlp,
            "bloom_token_classifier",
            like=LIKE[own.target],
            assigns=ASSIGNS[own.target],
            score_weights={own.score: 1.0},
        )
        if own.scores_attr is not None:
            add_extension(Token, own.scores_attr)
        if own.score_attr is not None:
            add_extension(Span, own.score_attr)

    @property
    def tags(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The model's outputs: labels, or tags like B-X for entities and spans."""
        return tuple(self.cfg["tags"])

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Labels as they are on the Docs."""
        if not self._writes_spans:
            return self.tags
        return tuple(dict.fromkeys(label for _, label in map(parse_tag, self.tags) if label))

    @property
    def _writes_spans(self) -> bool:
        return self.cfg["target"] in ("ents", "spans")

    @property
    def _scheme(self) -> TagScheme | None:
        return tag_scheme(self.tags) if self._writes_spans else None

    @property
    def _where(self) -> dict[str, str]:
        return {"target": self.cfg["target"], "spans_key": self.cfg["spans_key"]}

    @property
    def set_candidates(self) -> Any:
        """There are no candidates, unlike in spaCy's SpanCategorizer."""
        raise AttributeError("set_candidates")

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Prepare for training; a classifier from a checkpoint keeps its labels and weights.

        get_examples (Callable): Returns a representative sample.
        labels (Sequence[str] | None): Labels, for example from a file. None takes those of all examples.
        RAISES (ConfigError): No labels.
        """
        validate_get_examples(get_examples, "BloomTokenClassifier.initialize")
        if self.cfg["checkpoint"] is not None:
            self._load_checkpoint()
        else:
            known = gold_labels(get_examples(), **self._where) if labels is None else labels
            self._set_labels(sorted(known) if labels is None else known)
            if (
                labels is None and self.cfg["target"] == "spans"
            ):  # with labels from a file the data are not read
                self._warn_of_overlaps(get_examples())
        self._initialize_model(get_examples)

    def _warn_of_overlaps(self, examples: Iterable[Example]) -> None:
        overlapping, total = count_overlapping(examples, self.cfg["spans_key"])
        if overlapping:
            warnings.warn(
                f"{self.name!r}: {overlapping} of {total} gold spans overlap an earlier one and are not learnt, as a "
                "token has one tag. Use spaCy's spancat for spans that overlap.",
                BloomWarning,
                stacklevel=2,
            )

    def _set_labels(self, labels: Iterable[str]) -> None:
        n_outputs = self._extend_labels(labels)
        if not self.labels:
            raise ConfigError(
                f"{self.name!r} got no labels: the examples have no annotation for {self.cfg['target']!r}"
                + (f" under doc.spans[{self.cfg['spans_key']!r}]" if self.cfg["target"] == "spans" else "")
                + ". Give labels in [initialize.components], or check the corpus."
            )
        set_output(self.model, n_outputs)

    def _extend_labels(self, labels: Iterable[str]) -> int:
        new = [label for label in dict.fromkeys(labels) if label not in self.labels]
        tags = self.cfg["tags"]
        self.cfg["tags"] = [*(tags or [OUTSIDE]), *span_tags(new)] if self._writes_spans else [*tags, *new]
        return len(self.cfg["tags"])

    def _read_checkpoint(self) -> None:
        self.cfg["tags"] = load_classifier(self.model, self.cfg["checkpoint"])

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """RETURNS (list[Prediction]): Tags and probabilities of each Doc; nothing is written on the Docs."""
        docs = list(docs)
        self._get_ready()
        outputs = self._run(docs)
        if outputs is None:
            return [no_tokens(len(self.tags)) for _ in docs]
        if self.cfg["outside_bias"]:
            bias = self._bias()
            outputs = [logits + bias for logits in outputs]
        blanks = [~edge_tokens(doc) for doc in docs]
        if self.model.has_ref("transitions"):
            found = decode_sequences(self.model.get_ref("transitions"), self._scheme, outputs, blanks)
        else:
            found = [
                decode(self.model.ops.to_numpy(logits), self._scheme, blank)
                for logits, blank in zip(outputs, blanks, strict=True)
            ]
        return [(tags, tempered(probabilities, self.cfg["temperature"])) for tags, probabilities in found]

    def _bias(self) -> Floats1d:
        """RETURNS (Floats1d): What is added to the logits. RAISES (ConfigError): No tag for outside."""
        if OUTSIDE not in self.tags:
            raise ConfigError(
                f"{self.name!r} has outside_bias = {self.cfg['outside_bias']} and no tag {OUTSIDE!r}, got "
                f"{', '.join(self.tags):.200}. Leave outside_bias out."
            )
        return self.model.ops.asarray1f([self.cfg["outside_bias"] * (tag == OUTSIDE) for tag in self.tags])

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write what was predicted, as the target says."""
        for doc, (tags, probabilities) in zip(docs, predictions, strict=True):
            self._write(doc, tags, probabilities)
            if self.cfg["scores_attr"] is not None:
                write_probabilities(doc, probabilities, attr=self.cfg["scores_attr"], tags=self.tags)

    def _write(self, doc: Doc, tags: Any, probabilities: Any) -> None:
        target, overwrite, score_attr = (self.cfg[name] for name in ("target", "overwrite", "score_attr"))
        if not self._writes_spans:
            write_attr(doc, [self.tags[tag] for tag in tags], attr=target, overwrite=overwrite)
            return
        found = tag_scheme(self.tags).spans(tags)
        scores = _of_tags(probabilities, tags)
        if target == "spans":
            write_spans(doc, found, scores, key=self.cfg["spans_key"], overwrite=overwrite)
            return
        written = write_ents(doc, found, overwrite=overwrite)
        if score_attr is not None:
            borders = [(ent.start, ent.end) for ent in written]
            for ent, score in zip(written, span_scores(borders, scores), strict=True):
                ent._.set(score_attr, float(score))

    def certainties(
        self, predictions: Sequence[Prediction], examples: Sequence[Example], temperature: float
    ) -> tuple[NDArray, NDArray]:
        """See LabelledPipe: of predicted spans, or of each token's tag."""
        index = {tag: i for i, tag in enumerate(self.tags)}
        sure, right = [], []
        for eg, (tags, probabilities) in zip(examples, predictions, strict=True):
            gold = gold_tags(eg, index, name=self.name, **self._where)
            odds = _of_tags(tempered(probabilities, temperature), tags)
            if self._writes_spans:
                outside = numpy.where(gold == MISSING, index.get(OUTSIDE, 0), gold)
                true = set(tag_scheme(self.tags).spans(outside))
                places = [
                    place
                    for place in tag_scheme(self.tags).spans(tags)
                    if (gold[place[0] : place[1]] != MISSING).all()
                ]
                sure.append(span_scores([place[:2] for place in places], odds))
                right.append([place in true for place in places])
            else:
                known = numpy.flatnonzero(gold != MISSING)
                sure.append(odds[known])
                right.append(tags[known] == gold[known])
        return numpy.concatenate(sure), numpy.concatenate(right).astype(bool)

    def get_loss(self, examples: Iterable[Example], scores: list[Floats2d]) -> tuple[float, list[Floats2d]]:
        """Cross entropy of the tags, or of whole sequences where the model learns transitions. It is a sum like that of
        spaCy's taggers, so that components share a transformer fairly.

        scores (list[Floats2d]): Logits of each Doc. Shape (tokens, tags).
        RETURNS (tuple[float, list[Floats2d]]): The loss, and its gradient by Doc.
        RAISES (ConfigError): Gold labels that the component does not know.
        """
        index = {tag: i for i, tag in enumerate(self.tags)}
        gold = [gold_tags(eg, index, name=self.name, **self._where) for eg in examples]
        if self.model.has_ref("transitions"):
            return sequence_loss(self.model.get_ref("transitions"), self._scheme, scores, gold)
        results = [tag_loss(self.model.ops, *pair) for pair in zip(scores, gold, strict=True)]
        return sum(loss for loss, _ in results), [gradient for _, gradient in results]


def _of_tags(probabilities: NDArray, tags: NDArray) -> NDArray:
    """RETURNS (NDArray): The probability of each token's tag. Shape (tokens,)."""
    return probabilities[numpy.arange(len(tags)), tags]
