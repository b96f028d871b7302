"""The parts of the service: pipelines that each do something for a text, and what they found as messages."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..pipeline.answering.answers import get_answers
from ..pipeline.memory_zone import memory_zone
from ..pipeline.pages.quality import quality_of, size_of
from .messages import Answer, Answered, Part, Surprisal, Surprise

logger = logging.getLogger(__name__)

# By factory, not by class: the command line would have to import all components whenever it starts.
ANSWERER, GENERATOR, MEASURE = "bloom_question_answerer", "bloom_text_generator", "bloom_surprisal"
ANNOTATION, ANSWERS, CONTINUATION, SURPRISAL = "annotation", "answers", "continuation", "surprisal"
MULTILINGUAL = {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}
# Beam search reads better than greedy decoding; the penalty keeps a small model from repeating itself.
GENERATION = {"num_beams": 4, "repetition_penalty": 1.2}
MAX_NEW_PIECES = 24


@dataclass(frozen=True)
class Asked:
    """A text, and the questions about it."""

    text: str
    questions: Sequence[str] = ()

    def __len__(self) -> int:
        """Characters; a text without any takes time too."""
        return max(1, len(self.text) + sum(map(len, self.questions)))


def annotating_part(nlp: Language, name: str = ANNOTATION) -> tuple[Part, Language]:
    """RETURNS (tuple[Part, Language]): The part of a trained pipeline."""
    meta = nlp.meta
    pipeline = f"{meta['lang']}_{meta['name']} {meta['version']}"
    return _describe(name, nlp, pipeline, quality_of(meta)), nlp


def language_model_parts(checkpoint: str) -> Iterator[tuple[Part, Language]]:
    """YIELDS (tuple[Part, Language]): The parts of a checkpoint: continuations and surprisal, on one copy of the
    weights.
    """
    generation: dict[str, Any] = {"max_new_tokens": MAX_NEW_PIECES, "generation": GENERATION}
    for name, factory, own in (
        (CONTINUATION, GENERATOR, generation),
        (SURPRISAL, MEASURE, {}),
    ):
        nlp = spacy.blank("xx", config={"nlp": {"tokenizer": MULTILINGUAL}})
        pipe: Any = nlp.add_pipe(factory, config={**own, "model": {"name": checkpoint}})
        yield _describe(name, nlp, checkpoint, size_of(pipe.language_model.config)), nlp


def answers_questions(nlp: Language) -> bool:
    """RETURNS (bool): Whether a component of the pipeline answers questions."""
    return any(nlp.get_pipe_meta(name).factory == ANSWERER for name in nlp.pipe_names)


def find_all(name: str, nlp: Language, asked: Sequence[Asked]) -> list[dict[str, Any] | Exception]:
    """Process texts together. If that fails, by halves: only those that fail by themselves are lost.

    name (str): Name of the part.
    nlp (Language): Its pipeline.
    RETURNS (list[dict | Exception]): Fields of `ProcessedText` for each text, or why there are none.
    """
    try:
        return _find(name, nlp, asked)
    except Exception as error:
        if len(asked) == 1:
            logger.error("%s failed on a text of %d characters", name, len(asked[0]), exc_info=error)
            return [error]
    half = len(asked) // 2
    return [*find_all(name, nlp, asked[:half]), *find_all(name, nlp, asked[half:])]


def _find(name: str, nlp: Language, asked: Sequence[Asked]) -> list[dict[str, Any] | Exception]:
    # What the vocabulary learns from a text is forgotten with it: a service sees new words for ever.
    with memory_zone(nlp):
        docs = list(nlp.pipe([_make_doc(nlp, one) for one in asked]))
        if len(docs) < len(asked):
            raise ValueError("A component left out Docs that it could not process.")
        return [_fields(name, nlp, doc) for doc in docs]


def _make_doc(nlp: Language, asked: Asked) -> Doc:
    doc = nlp.make_doc(asked.text)
    if answers_questions(nlp):
        # None would ask those of the config.
        doc._.questions = list(dict.fromkeys(asked.questions)) or None
    return doc


def _fields(name: str, nlp: Language, doc: Doc) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pipe_name, pipe in nlp.pipeline:
        factory, cfg = nlp.get_pipe_meta(pipe_name).factory, getattr(pipe, "cfg", {})
        if factory == ANSWERER:
            found["answers"] = [*found.get("answers", []), *_answers(doc, cfg["spans_key"])]
        elif factory == GENERATOR and cfg["per"] == "doc":
            found["continuation"] = _continuation(doc._.get(cfg["attr"]))
        elif factory == MEASURE:
            found["surprisal"] = _surprisal(doc, cfg)
    if name == ANNOTATION:
        found["doc"] = doc.to_json()
    return found


def _answers(doc: Doc, key: str) -> Iterator[Answered]:
    for question, spans in get_answers(doc, key=key).items():
        answers = [
            Answer(text=s.text, start=s.start_char, end=s.end_char, score=_finite(s._.answer_score))
            for s in spans
        ]
        yield Answered(question=question, answers=answers)


def _continuation(value: Any) -> str | None:
    """RETURNS (str | None): The first of several texts; None for objects of a schema."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else None


def _surprisal(doc: Doc, cfg: Mapping[str, Any]) -> Surprisal:
    tokens = [Surprise(start=t.idx, end=t.idx + len(t), bits=_finite(t._.get(cfg["attr"]))) for t in doc]
    means = {
        field: _finite(doc._.get(cfg[key])) if cfg[key] is not None else None
        for field, key in (("perplexity", "perplexity_attr"), ("bits_per_byte", "bits_per_byte_attr"))
    }
    return Surprisal(tokens=tokens, **means)


def _finite(value: Any) -> float | None:
    """RETURNS (float | None): A number that JSON has."""
    return float(value) if value is not None and math.isfinite(value) else None


def _describe(name: str, nlp: Language, pipeline: str, quality: str) -> Part:
    return Part(
        name=name,
        pipeline=pipeline,
        components=nlp.pipe_names,
        answers_questions=answers_questions(nlp),
        quality=quality,
    )
