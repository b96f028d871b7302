"""Questions about texts, a JSON object on each line."""

from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from spacy.language import Language

from ..pipeline.answering.answers import Answer, set_answers
from .files import DataFile
from .records import Record, Unreadable, read_records, refuse, set_metadata, text_of
from .samples import Sample

EXPECTED = (
    'id, context, question, and answers of text and start that stand there in the context, like {"id": "1", "context": '
    '"...", "question": "...", "answers": [{"text": "...", "start": 0}]}'
)


class Question(NamedTuple):
    """A question about a context, with its answers by characters: text and start."""

    file: DataFile
    id: str
    article: Optional[str]
    context: str
    question: str
    answers: Tuple[Tuple[str, int], ...]
    record: Record


def read_questions(nlp: Language, files: Sequence[DataFile]) -> Iterator[Sample]:
    """Read the questions of some files. A question that is asked twice about a context is read once, with all answers.

    nlp (Language): Its tokenizer is used.
    files (Sequence[DataFile]): Lines of `{"id", "context", "question", "answers"}`, with an "article" if there is one.
    YIELDS (Sample): Docs with a question each, as `doc.spans["answers"]` holds them. What shares an article of one data
        set, a context, or an id of any belongs into one split: the same text in another language is no new text.
    RAISES (InputError): A line is not understood.
    """
    for question in merge([question for file in files for question in questions_of(file)]):
        yield _sample(nlp, question)


def questions_of(file: DataFile) -> Iterator[Question]:
    """YIELDS (Question): A file's questions. RAISES (InputError): A line is not understood."""
    for number, record in read_records(file.path, EXPECTED):
        try:
            yield make_question(file, record, str(number))
        except Unreadable as error:
            refuse(file.path, number, str(error), EXPECTED)


def make_question(file: DataFile, record: Record, default_id: str = "") -> Question:
    """RETURNS (Question): The question of a record. RAISES (Unreadable): It is none."""
    context, question = text_of(record, "context"), text_of(record, "question")
    found = record.get("answers")
    if not isinstance(found, list):
        raise Unreadable(f'{found!r} for "answers"')
    answers = tuple(_answer(each, context) for each in found)
    # Without an id of its own it is told apart by its file and line.
    own = f"{file.path.name}:{default_id}" if record.get("id") is None else str(record["id"])
    article = None if record.get("article") is None else str(record["article"])
    return Question(file, own, article, context, question, answers, record)


def _answer(answer: Any, context: str) -> Tuple[str, int]:
    text = answer.get("text") if isinstance(answer, dict) else None
    start = answer.get("start") if isinstance(answer, dict) else None
    if not isinstance(text, str) or not isinstance(start, int) or start < 0:
        raise Unreadable(f"the answer {answer!r}")
    if not text or context[start : start + len(text)] != text:
        raise Unreadable(f"the answer {text!r} at {start}")
    return text, start


def merge(questions: Sequence[Question]) -> List[Question]:
    """RETURNS (list[Question]): Each question once for each context, with the answers of all its copies."""
    merged: Dict[Tuple[Any, ...], Question] = {}
    for question in questions:
        key = (question.file.name, question.file.split, question.context, question.question)
        before = merged.get(key, question)
        merged[key] = before._replace(answers=tuple(dict.fromkeys(before.answers + question.answers)))
    return list(merged.values())


def _sample(nlp: Language, question: Question) -> Sample:
    """RETURNS (Sample): A context with the answers on its tokens. An answer whose border falls inside a token is
    expanded to whole tokens; answers are counted as "exact", "expanded" or "dropped", the last without a token.
    """
    doc, counts = nlp.make_doc(question.context), Counter[str]()
    answers = []
    for text, start in question.answers:
        exact = doc.char_span(start, start + len(text)) or None  # it may have no token
        span = exact or doc.char_span(start, start + len(text), alignment_mode="expand") or None
        counts["dropped" if span is None else "expanded" if exact is None else "exact"] += 1
        if span is not None:
            answers.append(Answer(span.start, span.end))
    set_answers(doc, {question.question: list(dict.fromkeys(answers))})
    set_metadata(doc, question.record, question.file.name)
    keys = [("context", question.context), ("id", question.id)]
    if question.article is not None:
        keys.append(("article", f"{question.file.name} {question.article}"))
    return Sample(doc, question.file.name, question.file.split, counts, tuple(keys), (question.id,))
