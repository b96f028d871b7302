"""Which questions are asked of which Docs."""

from collections.abc import Iterable, Sequence

from spacy.tokens import Doc, Span

from ..base.spans import edge_tokens
from .answers import checked_questions, get_answers

Asked = tuple[Doc, str]  # a Doc and a question about it


def questions_of(doc: Doc, default: Sequence[str]) -> list[str]:
    """RETURNS (list[str]): The questions of doc._.questions, or the default if it is None."""
    own = doc._.questions
    return list(default) if own is None else checked_questions(own, "doc._.questions")


def is_answerable(doc: Doc, question: str) -> bool:
    """RETURNS (bool): Whether there is anything to read, in the question and in the Doc."""
    return bool(question.strip()) and bool(edge_tokens(doc).any())


def gold_questions(docs: Iterable[Doc], *, key: str) -> list[tuple[Asked, list[Span]]]:
    """RETURNS (list[tuple[Asked, list[Span]]]): The questions in doc.spans[key] that can be answered, each with its
    right answers.
    """
    return [
        ((doc, question), spans)
        for doc in docs
        for question, spans in get_answers(doc, key=key).items()
        if is_answerable(doc, question)
    ]
