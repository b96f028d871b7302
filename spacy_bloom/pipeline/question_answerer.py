"""The component that answers questions with spans of the Doc."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, List

from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.util import minibatch, registry
from thinc.api import Config, Model
from thinc.types import Floats2d

from ..errors import ConfigError
from ..thinc_layers.answer_spans import Scored, best_spans, span_loss
from ..thinc_layers.pieces.question_windows import (
    QuestionWindow,
    TokenPieces,
    read_questions,
)
from ..thinc_layers.pieces.windows import batch_windows
from ..thinc_layers.question_answerer import (
    EMPTY_WINDOW,
    check_head,
    load_head,
    reads_overlap,
    score_windows,
    use_checkpoint,
)
from ..thinc_layers.saved_layers import reading
from ..thinc_layers.transformer_model import bloom_shim, set_width
from ..thinc_layers.weights.shim import BloomShim
from .answering.answer_scores import METRICS, mean_scores
from .answering.answers import Answer, get_answers, install_extensions, set_answers
from .answering.questions import Asked, gold_questions, is_answerable, questions_of
from .answering.settings import QuestionAnswererSettings
from .base.component import component
from .base.head_pipe import HeadPipe
from .base.spans import edge_tokens
from .saving import component_folder

DEFAULT_CONFIG = Config().from_str("""
[bloom_question_answerer]
scorer = {"@scorers": "spacy-bloom.question_answerer_scorer.v1"}

[bloom_question_answerer.model]
@architectures = "spacy-bloom.QuestionAnswerer.v2"
name = "tiny-bloom"
window = 512
context = 128
dtype = "float32"
""")["bloom_question_answerer"]

Prediction = dict[str, list[Answer]]  # answers by question, best first


def question_answerer_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Means over all gold questions: qa_em, qa_f1 (words) and qa_char_f1 (characters). A question that the
    predicted Doc was not asked counts as unanswered.

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


@component(
    "bloom_question_answerer",
    QuestionAnswererSettings,
    DEFAULT_CONFIG,
    assigns=["doc.spans"],
    score_weights={"qa_em": 0.0, "qa_f1": 0.5, "qa_char_f1": 0.5},
)
class BloomQuestionAnswerer(HeadPipe):
    """Answers questions with spans of the Doc. The questions are those of `doc._.questions` (list[str]), or the
    config's if it is None.

    Answers are written to `doc.spans[spans_key]`, by question and the best first, with `span._.question` and
    `span._.answer_score`. The group's attrs["scores"] has the scores too, and attrs["questions"] all questions. Gold
    answers for training have the same form: `answers.set_answers` writes them.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.QuestionAnswerer.v2`.
    name (str): Name of the component.
    scorer (Callable | None): Scores Examples.
    **settings: Those of `QuestionAnswererSettings`.
    RAISES (ConfigError): The model is another architecture's.
    """

    checkpoint_kind = "question-answering"

    def __init__(
        self,
        nlp: Language,
        model: Model[List[QuestionWindow], List[Floats2d]],
        name: str = "bloom_question_answerer",
        *,
        scorer: Callable | None = question_answerer_score,
        **settings: Any,
    ) -> None:
        if not model.has_ref("transformer") or not model.has_ref("head"):
            raise ConfigError(f"Expected a model of spacy-bloom.QuestionAnswerer.v2, got {model.name!r}.")
        own = QuestionAnswererSettings(**settings)
        super().__init__(nlp, model, name, scorer=scorer, settings=own)
        install_extensions()
        if own.checkpoint is not None:
            use_checkpoint(model, own.checkpoint)

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
            self.model.initialize(X=[EMPTY_WINDOW])

    def _read_checkpoint(self) -> None:
        load_head(self.model)

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """RETURNS (list[Prediction]): The answers to the questions of each Doc; nothing is written on the Docs."""
        docs = list(docs)
        questions = [questions_of(doc, self.cfg["questions"]) for doc in docs]
        predictions: list[Prediction] = [{question: [] for question in own} for own in questions]
        places = [
            (i, question)
            for i, doc in enumerate(docs)
            for question in questions[i]
            if is_answerable(doc, question)
        ]
        if places:
            self._get_ready()
            found = self._find([(docs[i], question) for i, question in places])
            for (i, question), answers in zip(places, found, strict=True):
                predictions[i][question] = answers
        return predictions

    def _read(self, asked: Sequence[Asked]) -> tuple[list[QuestionWindow], list[TokenPieces]]:
        return read_questions(
            self._shim.tokenizer,
            asked,
            separator=self.cfg["separator"],
            settings=self.model.attrs["windows"],
            with_overlap=reads_overlap(self.model),
        )

    def _find(self, asked: Sequence[Asked]) -> list[list[Answer]]:
        """RETURNS (list[list[Answer]]): The answers to each question."""
        windows, tokens = self._read(asked)
        scores = score_windows(self.model, windows, self.cfg["max_batch_items"])
        own: list[list[QuestionWindow]] = [[] for _ in asked]
        for window in windows:
            own[window.asked].append(window)
        limits = {"n_best": self.cfg["n_best"], "max_tokens": self.cfg["max_answer_tokens"]}
        return [
            self._kept(best_spans(w, [scores[each] for each in w], t, edge_tokens(doc), **limits))
            for w, t, (doc, _) in zip(own, tokens, asked, strict=True)
        ]

    def _kept(self, spans: Sequence[Scored]) -> list[Answer]:
        threshold = self.cfg["no_answer_threshold"]
        refused = threshold is not None and any(score < threshold for *_, score in spans[:1])
        return [] if refused else [Answer(*span) for span in spans]

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write the answers to `doc.spans`; a Doc without questions gets a group without answers."""
        for doc, answers in zip(docs, predictions, strict=True):
            set_answers(doc, answers, key=self.cfg["spans_key"])

    def _has_input(self, examples: list[Example]) -> bool:
        return bool(self._gold(examples))

    def _gold(self, examples: Iterable[Example]) -> list[tuple[Asked, list]]:
        """Text and tokens are the references': nothing that the pipeline has predicted is read in training."""
        return gold_questions([eg.reference for eg in examples], key=self.cfg["spans_key"])

    def _learn(self, examples: list[Example]) -> float:
        asked, gold = zip(*self._gold(examples), strict=True)
        windows, tokens = self._read(asked)
        targets = [
            [(p.first[s.start], p.last[s.end - 1]) for s in g] for p, g in zip(tokens, gold, strict=True)
        ]
        loss = 0.0
        for batch in batch_windows(windows, self.cfg["max_batch_items"]):
            scores, backprop = self.model.begin_update(batch)
            results = [span_loss(w, s, targets[w.asked]) for w, s in zip(batch, scores, strict=True)]
            backprop([gradient for _, gradient in results])
            loss += sum(one for one, _ in results)
        return loss

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score Examples. spaCy's corpus readers hand no questions on to the Docs that are predicted: those that
        have not been asked all questions of their references are asked them here, as copies.

        RETURNS (dict[str, Any]): Scores by name.
        """
        answered = (eg for batch in minibatch(examples, 128) for eg in self._ask_gold_questions(list(batch)))
        return super().score(list(answered), **kwargs)

    def _ask_gold_questions(self, examples: list[Example]) -> list[Example]:
        copies = {}
        for i, eg in enumerate(examples):
            gold, found = (
                get_answers(doc, key=self.cfg["spans_key"]) for doc in (eg.reference, eg.predicted)
            )
            if not gold.keys() <= found.keys():
                copies[i] = eg.predicted.copy()
                copies[i]._.questions = list(gold)
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
        with component_folder(path, exclude) as place:
            util.to_disk(place, serialize, exclude)

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
        with reading(f"the component {self.name!r}", self.model):
            util.from_disk(path, deserialize, exclude)  # type: ignore[arg-type]
            check_head(self.model)
        return self
