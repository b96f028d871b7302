"""Questions and their answers on Docs, predicted and gold alike.

A group of answers is a SpanGroup. Its attrs hold `questions`, all that were asked, including those without an answer,
and `scores`, one for each span. The label of a span says which question it answers: Q1 the first. All of this
survives Doc.to_bytes and DocBin, with and without user data.

Doc.from_docs and Doc.to_json drop the attrs of groups. So a span's kb_id_ has the score, rounded, and the question.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy
from spacy.strings import get_string_id
from spacy.tokens import Doc, Span, SpanGroup

from ...errors import InputError
from ..base.extensions import add_extension, add_read_extension

LABEL = re.compile(r"Q\d+")
NOTE = re.compile(r"(?P<score>-?[\d.]+(e[-+]\d+)?|-?inf|) (?P<question>.*)", re.DOTALL)


class Answer(NamedTuple):
    """An answer: tokens `start` to `end` (exclusive), and how much better than no answer it is, in nats."""

    start: int
    end: int
    score: float = numpy.nan


def install_extensions() -> None:
    """Register `doc._.questions`, `span._.question` and `span._.answer_score`, where they are not yet."""
    add_read_extension(Doc, "questions")
    # Computed, not stored: what is stored on a span is found by its place alone, and two questions may have
    # the same answer.
    add_extension(Span, "question", getter=question_of)
    add_extension(Span, "answer_score", getter=score_of)


def checked_questions(questions: object, where: str) -> list[str]:
    """RETURNS (list[str]): The questions, each once.
    RAISES (InputError): They are no list of texts.
    """
    if not isinstance(questions, (list, tuple)) or not all(isinstance(q, str) for q in questions):
        raise InputError(f"Expected {where} to be a list of str, got {questions!r}.")
    return list(dict.fromkeys(questions))


def set_answers(doc: Doc, answers: Mapping[str, Sequence[Answer]], *, key: str = "answers") -> None:
    """Write answers to `doc.spans[key]`, in place of those that stood there. Gold answers are written the same
    way.

    answers (Mapping[str, Sequence[Answer]]): The answers to each question, best first; none if there is none.
    """
    found = [(number, answer) for number, of_one in enumerate(answers.values(), 1) for answer in of_one]
    questions = list(answers)
    # The key tells a span from an equal one in the group of another component.
    spans = [
        Span(doc, a.start, a.end, _label(number), kb_id=_note(questions[number - 1], a.score), span_id=key)
        for number, a in found
    ]
    scores = numpy.array([answer.score for _, answer in found], dtype="float32")
    attrs = {"questions": questions, "scores": scores}
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)


def get_answers(doc: Doc, *, key: str = "answers") -> dict[str, list[Span]]:
    """RETURNS (dict[str, list[Span]]): The answers to each question that was asked, in the order of
    `doc.spans[key]`; empty if there is no such group.
    """
    group = doc.spans.get(key)
    answers: dict[str, list[Span]] = {question: [] for question in _questions_by_label(group).values()}
    for span in group or []:
        question = _question_in(group, span)
        if question is not None:
            answers.setdefault(question, []).append(span)
    return answers


def question_of(span: Span) -> str | None:
    """RETURNS (str | None): The question that a span answers; None if it is not an answer."""
    return _question_in(_find(span)[0], span)


def score_of(span: Span) -> float | None:
    """RETURNS (float | None): The score of an answer; None if the span is not an answer."""
    group, index = _find(span)
    scores = [] if group is None else group.attrs.get("scores", [])
    if index < len(scores):
        return float(scores[index])
    note = _read_note(span)
    return float(note["score"] or "nan") if note else None


def _find(span: Span) -> tuple[SpanGroup | None, int]:
    """RETURNS (tuple[SpanGroup | None, int]): The group of answers that a span is in, and its place there."""
    for group in span.doc.spans.values():
        if "questions" in group.attrs:
            for index, other in enumerate(group):
                if other == span:
                    return group, index
    return None, 0


def _question_in(group: SpanGroup | None, span: Span) -> str | None:
    known = _questions_by_label(group)
    if known:
        return known.get(span.label)
    note = _read_note(span)
    return note["question"] if note else None


def _questions_by_label(group: SpanGroup | None) -> dict[int, str]:
    questions = [] if group is None else group.attrs.get("questions", [])
    # By hash: a vocabulary that has not seen the label can read the group too.
    return {get_string_id(_label(number)): question for number, question in enumerate(questions, 1)}


def _label(number: int) -> str:
    return f"Q{number}"


def _note(question: str, score: float) -> str:
    """RETURNS (str): Score and question as text. Rounded, as spaCy's vocabulary keeps every text that it has seen."""
    return f"{'' if numpy.isnan(score) else format(score, '.4g')} {question}"


def _read_note(span: Span) -> re.Match | None:
    return NOTE.fullmatch(span.kb_id_) if LABEL.fullmatch(span.label_) else None
