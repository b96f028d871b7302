"""The component that says which label is the likeliest text after a prompt: doc.cats without training."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from thinc.api import Model
from torch import Tensor

from ..errors import BloomWarning, InputError
from ..generation.batches import encode_prompts
from .base.cats_scores import score_own_cats
from .base.component import component
from .base.extensions import add_read_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .prompting.zero_shot_questions import Question, ask
from .prompting.zero_shot_scores import KeptScores, PieceScores, fit_prompt, score_answers
from .prompting.zero_shot_settings import ZeroShotSettings, checked_labels

DEFAULT_CONFIG = {
    "model": DEFAULT_MODEL,
    "scorer": {"@scorers": "spacy-bloom.zero_shot_scorer.v1"},
}


def zero_shot_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): `score_own_cats` of the config's labels; of all labels of the gold annotation, if the
    component takes its labels from the Docs.
    """
    examples = list(examples)
    labels = kwargs.pop("labels", ()) or sorted({label for eg in examples for label in eg.reference.cats})
    return score_own_cats(examples, labels=labels, **kwargs)


@registry.scorers("spacy-bloom.zero_shot_scorer.v1")
def make_zero_shot_scorer() -> Callable:
    """RETURNS (Callable): `zero_shot_score`."""
    return zero_shot_score


@component(
    "bloom_zero_shot",
    ZeroShotSettings,
    DEFAULT_CONFIG,
    assigns=["doc.cats"],
)
class BloomZeroShot(LanguageModelPipe):
    """Writes to doc.cats how likely each label is as the text after a prompt, compared with the other labels. Labels
    of other components in doc.cats are left alone.

    The prompt is computed once for all labels, and the common beginning of prompts once for all Docs. Prompt and
    label are encoded separately; control tokens in them are ordinary text. BLOOM's pieces begin with the space
    before a word: a text that begins with a space has the pieces that it has in the joint text, if the prompt does
    not end in a space.

    It does not learn: no score of it has a weight in training, where another component's doc.cats may have one.

    Every Doc gets its labels. A Doc without text gets what the model expects of any text. A prompt without any piece
    begins with `</s>`, as texts do in BLOOM's training.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v2`.
    name (str): Name of the component.
    scorer (Callable | None): Scores Examples.
    **settings: Those of `ZeroShotSettings`.
    """

    def __init__(
        self,
        nlp: Language,
        model: Model,
        name: str = "bloom_zero_shot",
        *,
        scorer: Callable | None = zero_shot_score,
        **settings: Any,
    ) -> None:
        super().__init__(nlp, model, name, **vars(ZeroShotSettings(**settings)))
        self.scorer = scorer
        self._content_free = KeptScores()
        add_read_extension(Doc, "labels")

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The config's labels; none if Docs bring theirs."""
        return tuple(self.cfg["labels"] or ())

    def predict(self, docs: Iterable[Doc]) -> list[dict[str, float]]:
        """RETURNS (list[dict[str, float]]): The scores of each Doc's labels; nothing is written on the Docs.
        RAISES (InputError): A Doc without labels, or with labels that are no list of texts; a prompt that is too
            long and cannot be cut.
        """
        docs = list(docs)
        labels = [self._labels_of(doc) for doc in docs]
        asked = [self._ask(doc, own) for doc, own in zip(docs, labels, strict=True)]
        scores = self._score(asked, self._encode(docs, asked))
        if self.cfg["calibrated"]:
            pairs = zip(scores, self._content_free_scores(labels), strict=True)
            scores = [own - content_free for own, content_free in pairs]
        return [
            dict(zip(own, self._probabilities(answers), strict=True))
            for own, answers in zip(labels, scores, strict=True)
        ]

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[dict[str, float]]) -> None:
        """Write the scores to doc.cats."""
        for doc, scores in zip(docs, predictions, strict=True):
            doc.cats.update(scores)

    def _labels_of(self, doc: Doc) -> list[str]:
        own = doc._.labels
        if own is not None:
            return checked_labels(own, "doc._.labels", InputError)
        if not self.labels:
            raise InputError(
                f"{self.name!r} got no labels: set them in its config, or as a list on doc._.labels."
            )
        return list(self.labels)

    def _ask(self, doc: Doc, labels: Sequence[str]) -> list[Question]:
        return ask(
            doc,
            labels,
            prompt=self.cfg["prompt"],
            verbalizers=self.cfg["verbalizers"] or {},
            yes_no=(self.cfg["yes"], self.cfg["no"]) if self.cfg["multi_label"] else None,
        )

    def _encode(self, docs: Sequence[Doc], asked: Sequence[Sequence[Question]]) -> list[list[list[int]]]:
        """RETURNS (list[list[list[int]]]): Of each Doc, of each question, the ids of the prompt; cut if need be."""
        most = self.cfg["max_prompt_pieces"]
        encoded, n_cut = [], 0
        for doc, own in zip(docs, asked, strict=True):
            fitted = [fit_prompt(self.tokenizer, question.prompt, doc.text, most) for question in own]
            encoded.append([ids for ids, _ in fitted])
            n_cut += any(cut for _, cut in fitted)
        if n_cut:
            warnings.warn(
                f"{self.name!r} cut the end of the text of {n_cut} of {len(docs)} Docs, so that their prompts have "
                f"at most {most} pieces. Set max_prompt_pieces higher, or to null, to use them whole.",
                BloomWarning,
                stacklevel=2,
            )
        return encoded

    def _score(
        self, asked: Sequence[Sequence[Question]], prompts: Sequence[Sequence[list[int]]]
    ) -> list[Tensor]:
        """RETURNS (list[Tensor]): Log-likelihoods of each Doc's answers. Shape (questions, answers)."""
        answers = [[question.answers for question in own] for own in asked]
        if self.cfg["multi_label"]:
            # Doc by Doc, as what its prompts begin with in common, its text, is then computed once.
            pieces = [self._score_pieces(*pair) for pair in zip(prompts, answers, strict=True)]
        else:
            flat = self._score_pieces([ids for (ids,) in prompts], [texts for (texts,) in answers])
            pieces = [[own] for own in flat]
        return [self._joined(own) for own in pieces]

    def _score_pieces(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[str]]
    ) -> list[list[PieceScores]]:
        return score_answers(
            self.language_model,
            self.tokenizer,
            prompts,
            answers,
            max_batch_items=self.cfg["max_batch_items"],
        )

    def _joined(self, pieces: Sequence[Sequence[PieceScores]]) -> Tensor:
        """RETURNS (Tensor): Sums over the pieces of each answer, or means. Shape (questions, answers)."""
        normalized = self.cfg["length_normalized"]
        return torch.tensor(
            [[sum(p) / (len(p) if normalized else 1) for p in answers] for answers in pieces],
            dtype=torch.float64,
        )

    def _content_free_scores(self, labels: Sequence[Sequence[str]]) -> list[Tensor]:
        """RETURNS (list[Tensor]): As `_score`, for a Doc with these labels whose text says nothing."""
        text = self.cfg["content_free"]
        doc = Doc(self.vocab, words=[text], spaces=[False], sent_starts=[True]) if text else Doc(self.vocab)
        asked = {own: self._ask(doc, own) for own in map(tuple, labels)}

        def score(new: list[Question]) -> list[list[PieceScores]]:
            prompts = encode_prompts(self.tokenizer, [question.prompt for question in new])
            return self._score_pieces(prompts, [question.answers for question in new])

        flat = [question for own in asked.values() for question in own]
        found = iter(self._content_free.look_up(self.language_model, flat, score))
        joined = {own: self._joined([next(found) for _ in questions]) for own, questions in asked.items()}
        return [joined[tuple(own)] for own in labels]

    def _probabilities(self, scores: Tensor) -> list[float]:
        """
        scores (Tensor): Shape (questions, answers).
        RETURNS (list[float]): Of each label.
        """
        probabilities = scores.softmax(dim=1)
        return (probabilities[:, 0] if self.cfg["multi_label"] else probabilities[0]).tolist()
