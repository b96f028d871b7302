"""The component that says which label is the likeliest text after a prompt: doc.cats without training."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Dict, List, Optional

import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from thinc.api import Config, Model
from torch import Tensor

from ..errors import BloomWarning, InputError
from ..generation.batches import encode_prompts
from .base.cats_scores import NO_WEIGHTS, score_own_cats
from .base.extensions import add_read_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .prompting.prompt_template import PromptTemplate
from .prompting.zero_shot_scores import KeptScores, PieceScores, Question, fit_prompt, score_answers
from .prompting.zero_shot_settings import check_settings, checked_labels, make_template

DEFAULT_CONFIG = """
[bloom_zero_shot]
upstream = null
labels = null
prompt = null
verbalizers = null
multi_label = false
yes = " yes"
no = " no"
length_normalized = false
calibrated = false
content_free = "N/A"
threshold = 0.5
max_batch_items = null
max_prompt_pieces = 2048
scorer = {"@scorers": "spacy-bloom.zero_shot_scorer.v1"}
"""


@Language.factory(
    "bloom_zero_shot",
    assigns=["doc.cats"],
    default_config={
        "model": DEFAULT_MODEL,
        **Config().from_str(DEFAULT_CONFIG)["bloom_zero_shot"],
    },
    # It does not learn: its scores are shown in training, and decide nothing there.
    default_score_weights={"cats_score": 0.0, **NO_WEIGHTS},
)
def make_bloom_zero_shot(
    nlp: Language,
    name: str,
    model: Model,
    upstream: Optional[str],
    labels: Optional[List[str]],
    prompt: Optional[str],
    verbalizers: Optional[Dict[str, str]],
    multi_label: bool,
    yes: str,
    no: str,
    length_normalized: bool,
    calibrated: bool,
    content_free: str,
    threshold: float,
    max_batch_items: Optional[int],
    max_prompt_pieces: Optional[int],
    scorer: Optional[Callable],
) -> "BloomZeroShot":
    """Make the component. Arguments as for `BloomZeroShot`."""
    return BloomZeroShot(
        nlp,
        model,
        name,
        upstream=upstream,
        labels=labels,
        prompt=prompt,
        verbalizers=verbalizers,
        multi_label=multi_label,
        yes=yes,
        no=no,
        length_normalized=length_normalized,
        calibrated=calibrated,
        content_free=content_free,
        threshold=threshold,
        max_batch_items=max_batch_items,
        max_prompt_pieces=max_prompt_pieces,
        scorer=scorer,
    )


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


class BloomZeroShot(LanguageModelPipe):
    """Writes to doc.cats how likely each label is as the text after a prompt, against the other labels. Labels that
    stand there from other components stay.

    The prompt is computed once for all labels, and once what prompts begin with in common. Prompt and label are
    encoded separately, and what looks like a control token in them is ordinary text. BLOOM's pieces begin with
    the space before a word: a text that begins with a space has the pieces that it has in the joint text, if the
    prompt does not end in a space.

    Every Doc gets its labels. One without text gets what the prompt says without one: what the model expects of any
    text. A prompt without any piece begins with `</s>`, as texts do in BLOOM's training.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v1`.
    name (str): Name of the component.
    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    labels (Sequence[str] | None): The labels. Those on `doc._.labels` (a list of texts) win; None is for Docs that
        all have some.
    prompt (str | None): A Jinja2 template over `doc`; `labels` is the list of them as they are spelt in prompts,
        and with multi_label `label` is the one that is asked for. None asks for the text's topic. Begin with what
        is the same for all labels: it is computed once.
    verbalizers (Mapping[str, str] | None): Label to the text that follows the prompt; by default the label itself
        after a space. With multi_label: to the text that stands for it in the prompt; by default the label itself.
    multi_label (bool): Ask for each label on its own: its score is the probability of `yes` against `no`.
        Otherwise the scores of a Doc sum to 1.
    yes, no (str): The two answers with multi_label.
    length_normalized (bool): Compare means over the pieces of labels, not sums: labels of many pieces are less
        likely by their length alone.
    calibrated (bool): Divide every likelihood by that under the same prompt over a text that says nothing, and
        normalize again, so that labels that the model likes after any text have no advantage. Computed once and kept.
    content_free (str): The text that says nothing.
    threshold (float): Score from which a label counts as predicted, in scoring with multi_label.
    max_batch_items (int | None): Pieces of prompts whose keys and values are in memory at once, padding included, and
        again of prompts with an answer; a longer prompt is computed alone. None for as many as take a twentieth of
        the memory of the weights, or 64 MB if that is more.
    max_prompt_pieces (int | None): Most pieces of a prompt. A Doc's text is cut at its end, at a piece, so that the
        prompt fits and what the template says after the text stays; a BloomWarning counts such Docs. Where the
        prompt does not hold the text as it stands, or is too long without it, it is an error for that Doc.
        None cuts nothing.
    scorer (Callable | None): Scores Examples.
    RAISES (ConfigError): A setting is not what it should be.
    SOURCE: Zhao et al. 2021, Calibrate Before Use: the diagonal matrix W, applied to the likelihoods; the paper's
        softmax of the quotients has the same order.
    """

    def __init__(
        self,
        nlp: Language,
        model: Model,
        name: str = "bloom_zero_shot",
        *,
        upstream: str | None = None,
        labels: Sequence[str] | None = None,
        prompt: str | None = None,
        verbalizers: dict[str, str] | None = None,
        multi_label: bool = False,
        yes: str = " yes",
        no: str = " no",
        length_normalized: bool = False,
        calibrated: bool = False,
        content_free: str = "N/A",
        threshold: float = 0.5,
        max_batch_items: int | None = None,
        max_prompt_pieces: int | None = 2048,
        scorer: Callable | None = zero_shot_score,
    ) -> None:
        super().__init__(
            nlp,
            model,
            name,
            upstream=upstream,
            labels=labels,
            prompt=prompt,
            verbalizers=verbalizers,
            multi_label=multi_label,
            yes=yes,
            no=no,
            length_normalized=length_normalized,
            calibrated=calibrated,
            content_free=content_free,
            threshold=threshold,
            max_batch_items=max_batch_items,
            max_prompt_pieces=max_prompt_pieces,
        )
        check_settings(self.cfg)
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

    @property
    def _template(self) -> PromptTemplate:
        return make_template(self.cfg["prompt"], self.cfg["multi_label"])

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
        """RETURNS (list[Question]): One for all labels, or one for each."""
        verbalizers = self.cfg["verbalizers"] or {}
        if not self.cfg["multi_label"]:
            answers = tuple(verbalizers.get(label, " " + label) for label in labels)
            names = [answer.strip() for answer in answers]
            return [Question(self._template.render(doc=doc, labels=names), answers)]
        names = [verbalizers.get(label, label) for label in labels]
        answers = (self.cfg["yes"], self.cfg["no"])
        return [Question(self._template.render(doc=doc, label=name, labels=names), answers) for name in names]

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
