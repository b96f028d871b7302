"""The component that answers questions with spans of the Doc."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, List, Optional

import numpy
from numpy.typing import NDArray
from spacy import util
from spacy.attrs import IS_SPACE, LENGTH
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch, registry
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d, Ints1d

from ..errors import ConfigError
from ..thinc_layers.answer_spans import Scored, best_spans, span_loss
from ..thinc_layers.pieces.question_windows import (
    QuestionWindow,
    TokenPieces,
    batch_question_windows,
    read_questions,
)
from ..thinc_layers.question_answerer import load_head, score_windows
from ..thinc_layers.transformer_model import bloom_shim, set_width
from ..thinc_layers.weights.shim import BloomShim
from .answering.answer_scores import METRICS, mean_scores
from .answering.answers import Answer, checked_questions, get_answers, install_extensions, set_answers
from .tagging.checkpoint_head import CheckpointHead

DEFAULT_CONFIG = """
[bloom_question_answerer]
questions = []
spans_key = "answers"
n_best = 1
no_answer_threshold = null
max_answer_tokens = 30
separator = "\\n"
max_batch_items = 1024
checkpoint = null
scorer = {"@scorers": "spacy-bloom.question_answerer_scorer.v1"}

[bloom_question_answerer.model]
@architectures = "spacy-bloom.QuestionAnswerer.v1"
name = "tiny-bloom"
window = 512
context = 128
dtype = "float32"
"""

Asked = tuple[Doc, str]  # a Doc and a question that is put to it
Prediction = dict[str, list[Answer]]  # answers by question, best first


@Language.factory(
    "bloom_question_answerer",
    assigns=["doc.spans"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bloom_question_answerer"],
    default_score_weights={"qa_em": 0.0, "qa_f1": 0.5, "qa_char_f1": 0.5},
)
def make_bloom_question_answerer(
    nlp: Language,
    name: str,
    model: Model[List[Ints1d], List[Floats2d]],
    questions: List[str],
    spans_key: str,
    n_best: int,
    no_answer_threshold: Optional[float],
    max_answer_tokens: int,
    separator: str,
    max_batch_items: int,
    checkpoint: Optional[str],
    scorer: Optional[Callable],
) -> "BloomQuestionAnswerer":
    """Make the component. Arguments as for `BloomQuestionAnswerer`."""
    return BloomQuestionAnswerer(
        nlp,
        model,
        name,
        questions=questions,
        spans_key=spans_key,
        n_best=n_best,
        no_answer_threshold=no_answer_threshold,
        max_answer_tokens=max_answer_tokens,
        separator=separator,
        max_batch_items=max_batch_items,
        checkpoint=checkpoint,
        scorer=scorer,
    )


def question_answerer_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Means over all gold questions: qa_em, qa_f1 (words) and qa_char_f1 (characters). A question that the
    predicted Doc has not been asked counts as not answered.

    RETURNS (dict[str, Any]): Scores by name, None without gold questions.
    """
    key = kwargs.get("spans_key", "answers")
    pairs = []
    for eg in examples:
        found = get_answers(eg.predicted, key=key)
        for question, gold in get_answers(eg.reference, key=key).items():
            best = next((span.text for span in found.get(question, [])), "")
            pairs.append((best, [span.text for span in gold]))
    scores = mean_scores(pairs)
    return {f"qa_{metric}": scores[metric] for metric in METRICS}


@registry.scorers("spacy-bloom.question_answerer_scorer.v1")
def make_question_answerer_scorer() -> Callable:
    """RETURNS (Callable): `question_answerer_score`."""
    return question_answerer_score


class BloomQuestionAnswerer(CheckpointHead):
    """Answers questions with spans of the Doc. Questions are those of `doc._.questions` (list[str]); where it is
    None, those of the config.

    Answers are written to `doc.spans[spans_key]`, by question and the best first, with `span._.question` and
    `span._.answer_score`; the scores stand in the group's attrs["scores"] too, and all questions in
    attrs["questions"]. Gold answers for training look the same: `answers.set_answers` writes them.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.QuestionAnswerer.v1`.
    name (str): Name of the component.
    questions (Sequence[str]): Questions to Docs that have none of their own.
    spans_key (str): Where gold answers are read and answers are written.
    n_best (int): Most answers to a question.
    no_answer_threshold (float | None): Score that the best answer must reach, or there is none. A score is the
        answer's logits less those of "no answer", in nats: 0 takes what is more probable. None always answers.
    max_answer_tokens (int): Most tokens of an answer.
    separator (str): Stands between question and Doc; what is a control token in it is used as one.
    max_batch_items (int): Budget of a packed batch in pieces, in training too. A longer window is a batch of its
        own.
    checkpoint (str | None): A Hugging Face question-answering checkpoint to take BLOOM and the head from, in place
        of the model's name.
    scorer (Callable | None): Scores Examples.
    RAISES (ConfigError): The model is another architecture's, or a number is below 1.
    RAISES (InputError): The questions are no list of texts.
    """

    checkpoint_kind = "question-answering"

    def __init__(
        self,
        nlp: Language,
        model: Model[List[Ints1d], List[Floats2d]],
        name: str = "bloom_question_answerer",
        *,
        questions: Sequence[str] = (),
        spans_key: str = "answers",
        n_best: int = 1,
        no_answer_threshold: float | None = None,
        max_answer_tokens: int = 30,
        separator: str = "\n",
        max_batch_items: int = 1024,
        checkpoint: str | None = None,
        scorer: Callable | None = question_answerer_score,
    ) -> None:
        if not model.has_ref("transformer") or not model.has_ref("head"):
            raise ConfigError(f"Expected a model of spacy-bloom.QuestionAnswerer.v1, got {model.name!r}.")
        sizes = {
            "n_best": n_best,
            "max_answer_tokens": max_answer_tokens,
            "max_batch_items": max_batch_items,
        }
        for option, value in sizes.items():
            if value < 1:
                raise ConfigError(f"Expected {option} of at least 1, got {value}.")
        install_extensions()
        self.vocab = nlp.vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.cfg: dict[str, Any] = {
            "questions": checked_questions(questions, "the config's questions"),
            "spans_key": spans_key,
            **sizes,
            "no_answer_threshold": no_answer_threshold,
            "separator": separator,
            "checkpoint": checkpoint,
        }
        if checkpoint is not None:
            self._shim.name = checkpoint

    @property
    def _shim(self) -> BloomShim:
        return bloom_shim(self.model.get_ref("transformer"))

    def initialize(
        self, get_examples: Callable[[], Iterable[Example]], *, nlp: Language | None = None
    ) -> None:
        """Prepare for training; a head from a checkpoint keeps its weights.

        get_examples (Callable): Returns a representative sample.
        RAISES (ConfigError): No example has a gold question.
        """
        validate_get_examples(get_examples, "BloomQuestionAnswerer.initialize")
        key = self.cfg["spans_key"]
        if not any(get_answers(eg.reference, key=key) for eg in get_examples()):
            raise ConfigError(
                f"{self.name!r} got no questions: no example has any in the attrs of doc.spans[{key!r}]. "
                "Write gold answers with spacy_bloom.pipeline.answering.answers.set_answers."
            )
        if self.cfg["checkpoint"] is not None:
            self._load_checkpoint()
        else:
            any_ids = numpy.zeros((1,), dtype="int64")  # to learn the sizes from
            self.model.initialize(X=[any_ids])

    def _read_checkpoint(self) -> None:
        load_head(self.model, self.cfg["checkpoint"], self._shim.revision)

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """RETURNS (list[Prediction]): The answers to the questions of each Doc; nothing is written on the Docs."""
        docs = list(docs)
        readable = [_readable(doc) for doc in docs]
        predictions: list[Prediction] = [{question: [] for question in self._questions(doc)} for doc in docs]
        asked = [
            (i, question)
            for i, prediction in enumerate(predictions)
            for question in prediction
            if question.strip() and readable[i].any()
        ]
        if asked:
            self._get_ready()
            found = self._find(
                [(docs[i], question) for i, question in asked], [readable[i] for i, _ in asked]
            )
            for (i, question), answers in zip(asked, found, strict=True):
                predictions[i][question] = answers
        return predictions

    def _questions(self, doc: Doc) -> list[str]:
        own = doc._.questions
        return self.cfg["questions"] if own is None else checked_questions(own, "doc._.questions")

    def _read(self, asked: Sequence[Asked]) -> tuple[list[QuestionWindow], list[TokenPieces]]:
        windows = self.model.attrs["windows"]
        sizes = {"window": windows.window, "context": windows.context}
        return read_questions(self._shim.tokenizer, asked, separator=self.cfg["separator"], **sizes)

    def _find(self, asked: Sequence[Asked], readable: Sequence[NDArray]) -> list[list[Answer]]:
        """RETURNS (list[list[Answer]]): The answers to each question."""
        windows, tokens = self._read(asked)
        scores = score_windows(self.model, windows, self.cfg["max_batch_items"])
        own: list[list[QuestionWindow]] = [[] for _ in asked]
        for window in windows:
            own[window.asked].append(window)
        limits = {"n_best": self.cfg["n_best"], "max_tokens": self.cfg["max_answer_tokens"]}
        return [
            self._kept(best_spans(w, [scores[each] for each in w], t, r, **limits))
            for w, t, r in zip(own, tokens, readable, strict=True)
        ]

    def _kept(self, spans: Sequence[Scored]) -> list[Answer]:
        threshold = self.cfg["no_answer_threshold"]
        refused = threshold is not None and any(score < threshold for *_, score in spans[:1])
        return [] if refused else [Answer(*span) for span in spans]

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write the answers to `doc.spans`; a Doc without questions gets a group without answers."""
        for doc, answers in zip(docs, predictions, strict=True):
            set_answers(doc, answers, key=self.cfg["spans_key"])

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from the gold answers to all questions of the references. Text and tokens are the references' too:
        nothing that the pipeline has predicted is read.

        RETURNS (dict[str, float]): The losses, with the sum over all windows added, in nats.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "BloomQuestionAnswerer.update")
        asked, gold = self._gold([eg.reference for eg in examples])
        if not asked:
            return losses
        self._get_ready()
        set_dropout_rate(self.model, drop)
        windows, tokens = self._read(asked)
        targets = [
            [(p.first[s.start], p.last[s.end - 1]) for s in g] for p, g in zip(tokens, gold, strict=True)
        ]
        for batch in batch_question_windows(windows, self.cfg["max_batch_items"]):
            scores, backprop = self.model.begin_update([window.ids for window in batch])
            results = [span_loss(w, s, targets[w.asked]) for w, s in zip(batch, scores, strict=True)]
            backprop([gradient for _, gradient in results])
            losses[self.name] += sum(loss for loss, _ in results)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _gold(self, docs: Iterable[Doc]) -> tuple[list[Asked], list[list]]:
        """RETURNS (tuple[list[Asked], list[list[Span]]]): Gold questions, and the right answers to each."""
        found = [
            ((doc, question), spans)
            for doc in docs
            if _readable(doc).any()
            for question, spans in get_answers(doc, key=self.cfg["spans_key"]).items()
            if question.strip()
        ]
        return [asked for asked, _ in found], [spans for _, spans in found]

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score Examples. spaCy's corpus readers hand no questions on to the Docs that are predicted: those that
        have not been asked all questions of their references are asked them here, as copies.

        RETURNS (dict[str, Any]): Scores by name.
        """
        answered = (eg for batch in minibatch(examples, 128) for eg in self._ask_gold_questions(list(batch)))
        return super().score(list(answered), **kwargs)

    def _ask_gold_questions(self, examples: list[Example]) -> list[Example]:
        asked_of = partial(get_answers, key=self.cfg["spans_key"])
        copies = {}
        for i, eg in enumerate(examples):
            if not asked_of(eg.reference).keys() <= asked_of(eg.predicted).keys():
                copies[i] = eg.predicted.copy()
                copies[i]._.questions = list(asked_of(eg.reference))
        docs = list(copies.values())
        self.set_annotations(docs, self.predict(docs))
        return [Example(copies.get(i, eg.predicted), eg.reference) for i, eg in enumerate(examples)]

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write BLOOM as a checkpoint directory in the Hugging Face layout, and what stands on it. Settings are in the
        pipeline's config and nowhere else, so that they can be overridden when it is loaded.

        path (str | Path): Directory.
        exclude (Iterable[str]): Of "vocab", "model", "head".
        """
        self._load_checkpoint()
        serialize = {
            "vocab": lambda p: self.vocab.to_disk(p),
            "model": lambda p: self._shim.to_disk(p),
            "head": lambda p: self.model.get_ref("head").to_disk(p),
        }
        util.to_disk(path, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BloomQuestionAnswerer":
        """Map the model's weights into memory; no network is asked, and every name and shape is checked.

        path (str | Path): Directory written by `to_disk`.
        exclude (Iterable[str]): Of "vocab", "model", "head".
        RETURNS (BloomQuestionAnswerer): The component.
        """

        def read_model(model_path: Path) -> None:
            self._shim.from_disk(model_path)
            set_width(self.model.get_ref("transformer"))

        deserialize = {
            "vocab": self.vocab.from_disk,
            "model": read_model,
            "head": lambda p: self.model.get_ref("head").from_disk(p),
        }
        util.from_disk(path, deserialize, exclude)  # type: ignore[arg-type]
        return self


def _readable(doc: Doc) -> NDArray[numpy.bool_]:
    """RETURNS (NDArray): Tokens that an answer can start and end with: not white space. Shape (tokens,)."""
    array = doc.to_array([LENGTH, IS_SPACE]).reshape(-1, 2)
    return (array[:, 0] > 0) & (array[:, 1] == 0)
