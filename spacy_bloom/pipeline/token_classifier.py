"""The component that gives every token a label: entities, spans, tags or parts of speech."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, List, Optional

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span, SpanGroup, Token
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import registry
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from ..errors import BloomWarning, ConfigError
from ..thinc_layers.output_layer import set_output
from ..thinc_layers.token_classifier import load_classifier
from .base.extensions import add_extension
from .tagging.checkpoint_head import CheckpointHead
from .tagging.gold_tags import count_overlapping, gold_labels, gold_tags
from .tagging.tag_scheme import TagScheme, bio_tags, parse_tag, tag_scheme

TARGETS = ("ents", "tag", "pos", "spans")

DEFAULT_CONFIG = """
[bloom_token_classifier]
target = "ents"
spans_key = "sc"
checkpoint = null
scores_attr = null
overwrite = false
scorer = {"@scorers": "spacy-bloom.token_classifier_scorer.v1"}

[bloom_token_classifier.model]
@architectures = "spacy-bloom.TokenClassifier.v1"
encode = null

[bloom_token_classifier.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"
pooling = {"@layers": "reduce_mean.v1"}
"""

Prediction = tuple[
    NDArray[numpy.int64], NDArray[numpy.float32]
]  # tag indices (tokens,), probabilities (tokens, tags)


@Language.factory(
    "bloom_token_classifier",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bloom_token_classifier"],
    # One of these is there, as the target says; spaCy counts a score that is not as 0.
    default_score_weights={"ents_f": 1.0, "tag_acc": 1.0, "pos_acc": 1.0, "spans_sc_f": 1.0},
)
def make_bloom_token_classifier(
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    target: str,
    spans_key: str,
    checkpoint: Optional[str],
    scores_attr: Optional[str],
    overwrite: bool,
    scorer: Optional[Callable],
) -> "BloomTokenClassifier":
    """Make the component. Arguments as for `BloomTokenClassifier`."""
    return BloomTokenClassifier(
        nlp,
        model,
        name,
        target=target,
        spans_key=spans_key,
        checkpoint=checkpoint,
        scores_attr=scores_attr,
        overwrite=overwrite,
        scorer=scorer,
    )


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


class BloomTokenClassifier(CheckpointHead):
    """Labels tokens from their vectors and writes entities, spans, tags or parts of speech.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.TokenClassifier.v1`.
    name (str): Name of the component.
    target (str): "ents" (doc.ents), "spans" (doc.spans[spans_key]), "tag" (token.tag_) or "pos" (token.pos_).
        Entities and spans are decoded under the constraints of their tagging scheme.
    spans_key (str): Where spans are read and written with target "spans"; their probabilities stand in the
        group's attrs["scores"], NaN for spans that stood there before.
    checkpoint (str | None): A Hugging Face token-classification checkpoint to take labels and classifier
        from; use the same checkpoint for the transformer.
    scores_attr (str | None): Name of a token extension to write probabilities to: token._.NAME is a dict of
        them by tag.
    overwrite (bool): Whether earlier annotation is replaced. Otherwise it stays, and what overlaps it is
        left out.
    scorer (Callable | None): Scores Examples.
    RAISES (ConfigError): An unknown target.
    """

    checkpoint_kind = "token-classification"
    found_settings = ("tags",)

    def __init__(
        self,
        nlp: Language,
        model: Model[List[Doc], List[Floats2d]],
        name: str = "bloom_token_classifier",
        *,
        target: str = "ents",
        spans_key: str = "sc",
        checkpoint: str | None = None,
        scores_attr: str | None = None,
        overwrite: bool = False,
        scorer: Callable | None = token_classifier_score,
    ) -> None:
        if target not in TARGETS:
            raise ConfigError(f"Expected target to be one of {TARGETS}, got {target!r}.")
        if scores_attr is not None:
            add_extension(Token, scores_attr)
        self.vocab = nlp.vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.cfg: dict[str, Any] = {
            "target": target,
            "spans_key": spans_key,
            "checkpoint": checkpoint,
            "scores_attr": scores_attr,
            "overwrite": overwrite,
            "tags": [],
        }

    @property
    def tags(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The model's outputs: labels, or tags like B-X for entities and spans."""
        return tuple(self.cfg["tags"])

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Labels as they stand on the Docs."""
        if self.cfg["target"] in ("tag", "pos"):
            return self.tags
        return tuple(dict.fromkeys(label for _, label in map(parse_tag, self.tags) if label))

    @property
    def label_data(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): What `spacy init labels` writes to a file and `initialize` reads."""
        return self.labels

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Prepare for training; a classifier from a checkpoint keeps its labels and weights.

        get_examples (Callable): Returns a representative sample.
        labels (Sequence[str] | None): Labels, for example from a file; found in all of the examples if None.
        RAISES (ConfigError): No labels.
        """
        validate_get_examples(get_examples, "BloomTokenClassifier.initialize")
        if self.cfg["checkpoint"] is not None:
            self._load_checkpoint()
        elif labels is not None:
            self._set_labels(list(labels))
        else:
            self._set_labels(sorted(gold_labels(get_examples(), **self._where)))
            if self.cfg["target"] == "spans":  # with labels from a file the data are not read here
                self._warn_of_overlaps(get_examples())
        self._initialize_model(get_examples)

    def _warn_of_overlaps(self, examples: Iterable[Example]) -> None:
        overlapping, total = count_overlapping(examples, self.cfg["spans_key"])
        if overlapping:
            warnings.warn(
                f"{self.name!r}: {overlapping} of {total} gold spans overlap one before them and are not learnt, as a "
                "token has one tag. spaCy's spancat takes spans that overlap.",
                BloomWarning,
                stacklevel=2,
            )

    def _set_labels(self, labels: list[str]) -> None:
        if not labels:
            raise ConfigError(
                f"{self.name!r} got no labels: the examples have no annotation for {self.cfg['target']!r}"
                + (f" under doc.spans[{self.cfg['spans_key']!r}]" if self.cfg["target"] == "spans" else "")
                + ". Give labels in [initialize.components], or check the corpus."
            )
        self.cfg["tags"] = labels if self.cfg["target"] in ("tag", "pos") else bio_tags(labels)
        set_output(self.model, len(self.cfg["tags"]))

    def _read_checkpoint(self) -> None:
        self.cfg["tags"] = load_classifier(self.model, self.cfg["checkpoint"])

    @property
    def _where(self) -> dict[str, str]:
        return {"target": self.cfg["target"], "spans_key": self.cfg["spans_key"]}

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """RETURNS (list[Prediction]): Tags and probabilities of each Doc; nothing is written on the Docs."""
        docs = list(docs)
        self._get_ready()
        scheme = tag_scheme(self.tags) if self.cfg["target"] in ("ents", "spans") else None
        # Layers below cannot run on a batch without any token; in other batches empty Docs do no harm.
        logits = self.model.predict(docs) if any(len(doc) for doc in docs) else [None] * len(docs)
        return [
            _decode(self.model.ops.to_numpy(x) if len(doc) else None, scheme, len(self.tags))
            for doc, x in zip(docs, logits, strict=True)
        ]

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write what was predicted, as the target says."""
        write = {
            "ents": self._write_ents,
            "spans": self._write_spans,
            "tag": self._write_attr,
            "pos": self._write_attr,
        }
        for doc, (tags, probabilities) in zip(docs, predictions, strict=True):
            write[self.cfg["target"]](doc, tags, probabilities)
            if self.cfg["scores_attr"] is not None:
                self._write_scores(doc, probabilities)

    def _write_ents(self, doc: Doc, tags: NDArray, probabilities: NDArray) -> None:
        if self.cfg["overwrite"]:
            doc.set_ents(self._free_spans(doc, tags, []))
            return
        # "B" without a type: no entity may be there
        blocked = [doc[i : i + 1] for i, token in enumerate(doc) if token.ent_iob == 3 and not token.ent_type]
        kept = list(doc.ents)
        doc.set_ents(kept + self._free_spans(doc, tags, kept + blocked), blocked=blocked)

    def _free_spans(self, doc: Doc, tags: NDArray, kept: list[Span]) -> list[Span]:
        """RETURNS (list[Span]): The predicted spans that overlap none of the kept ones."""
        taken = {i for span in kept for i in range(span.start, span.end)}
        found = tag_scheme(self.tags).spans(tags)
        return [Span(doc, *span) for span in found if not taken or taken.isdisjoint(range(span[0], span[1]))]

    def _write_spans(self, doc: Doc, tags: NDArray, probabilities: NDArray) -> None:
        key = self.cfg["spans_key"]
        kept = [] if self.cfg["overwrite"] else list(doc.spans.get(key, []))
        spans = self._free_spans(doc, tags, kept)
        best = probabilities[numpy.arange(len(tags)), tags]
        scores = [numpy.nan] * len(kept) + [best[span.start : span.end].mean() for span in spans]
        attrs = {"scores": numpy.array(scores, dtype="float32")}
        doc.spans[key] = SpanGroup(doc, name=key, spans=kept + spans, attrs=attrs)

    def _write_attr(self, doc: Doc, tags: NDArray, probabilities: NDArray) -> None:
        attr = self.cfg["target"] + "_"
        for token, tag in zip(doc, tags, strict=True):
            if self.cfg["overwrite"] or not getattr(token, attr):
                setattr(token, attr, self.tags[tag])

    def _write_scores(self, doc: Doc, probabilities: NDArray) -> None:
        name = self.cfg["scores_attr"]
        for token, row in zip(doc, probabilities, strict=True):
            token._.set(name, dict(zip(self.tags, row.tolist(), strict=True)))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. Tokens without annotation have no part in it.

        RETURNS (dict[str, float]): The losses, with the sum of this batch's cross entropies added, in nats.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "BloomTokenClassifier.update")
        if not any(len(eg.predicted) for eg in examples):
            return losses
        self._get_ready()
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update([eg.predicted for eg in examples])
        loss, d_scores = self.get_loss(examples, scores)
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Sequence[Example], scores: list[Floats2d]) -> tuple[float, list[Floats2d]]:
        """Cross entropy, summed like that of spaCy's taggers, so that components share a transformer fairly.

        scores (list[Floats2d]): Logits of each Doc. Shape (tokens, tags).
        RETURNS (tuple[float, list[Floats2d]]): The loss, and its gradient by Doc.
        RAISES (ConfigError): Gold labels that the component does not know.
        """
        index = {tag: i for i, tag in enumerate(self.tags)}
        loss, gradients = 0.0, []
        for eg, logits in zip(examples, scores, strict=True):
            gold = gold_tags(eg, index, name=self.name, **self._where)  # (tokens,), -1 where missing
            rows = numpy.flatnonzero(gold >= 0)
            gradient = self.model.ops.xp.zeros_like(logits)
            if len(rows):
                probabilities = self.model.ops.softmax(logits[rows])
                picked = probabilities[numpy.arange(len(rows)), gold[rows]]
                loss -= float(self.model.ops.xp.log(picked + 1e-12).sum())
                probabilities[numpy.arange(len(rows)), gold[rows]] -= 1.0
                gradient[rows] = probabilities
            gradients.append(gradient)
        return loss, gradients


def _decode(logits: NDArray | None, scheme: TagScheme | None, n_tags: int) -> Prediction:
    """RETURNS (Prediction): The best legal tags of one Doc, and the probabilities of all."""
    if logits is None:
        return numpy.zeros((0,), dtype=numpy.int64), numpy.zeros((0, n_tags), dtype=numpy.float32)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))
    tags = log_probs.argmax(axis=1) if scheme is None else scheme.decode(log_probs)
    return tags, numpy.exp(log_probs)
