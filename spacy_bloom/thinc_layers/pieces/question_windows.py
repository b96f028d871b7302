"""Questions and Docs, cut into the sequences that the model reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy
from spacy.tokens import Doc
from thinc.types import Ragged
from tokenizers import Encoding

from ...tokenizer import BloomTokenizerFast
from .alignment import Ints
from .windows import DocPieces, batch_windows, cut_docs, cut_windows


@dataclass(frozen=True, eq=False)
class QuestionWindow:
    """A question, the separator and a run of a Doc's pieces, as one sequence.

    asked (int): Index of the question in its batch.
    ids (Ints): Shape (prefix + end - start,).
    prefix (int): Pieces of question and separator. The last of them stands for "no answer here".
    start, end (int): The run of the Doc's pieces.
    """

    asked: int
    ids: Ints
    prefix: int
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.ids)


class TokenPieces(NamedTuple):
    """The first and the last piece of each token. Shapes (tokens,)."""

    first: Ints
    last: Ints


def token_pieces(align: Ragged) -> TokenPieces:
    """RETURNS (TokenPieces): Of the tokens that `align` has aligned."""
    ends = numpy.cumsum(align.lengths)
    return TokenPieces(align.dataXd[ends - align.lengths], align.dataXd[ends - 1])


def read_questions(
    tokenizer: BloomTokenizerFast,
    asked: Sequence[tuple[Doc, str]],
    *,
    separator: str,
    window: int,
    context: int,
) -> tuple[list[QuestionWindow], list[TokenPieces]]:
    """Cut Docs, and the questions that are put to them, into windows.

    asked (Sequence[tuple[Doc, str]]): A Doc and a question, which is ordinary text.
    separator (str): Stands between them. What is a control token in it is used as one.
    window, context (int): As for `cut_question_windows`.
    RETURNS (tuple[list[QuestionWindow], list[TokenPieces]]): The windows of all questions, and the pieces of the
        tokens of each question's Doc.
    """
    docs = {id(doc): doc for doc, _ in asked}  # each is cut once, however many questions it has
    cut = dict(zip(docs, cut_docs(tokenizer, list(docs.values())), strict=True))
    pieces = [cut[id(doc)] for doc, _ in asked]
    questions = tokenizer.encode_plain([question for _, question in asked])
    (between,) = tokenizer.encode_batch([separator], split_special_tokens=False, add_special_tokens=False)
    prefixes = [numpy.concatenate([_ids(question), _ids(between)]) for question in questions]
    windows = cut_question_windows(pieces, prefixes, window=window, context=context)
    return windows, [token_pieces(doc.align) for doc in pieces]


def _ids(encoding: Encoding) -> Ints:
    return numpy.array(encoding.ids, dtype=numpy.int64)


def cut_question_windows(
    pieces: Sequence[DocPieces], prefixes: Sequence[Ints], *, window: int, context: int
) -> list[QuestionWindow]:
    """Cover every piece of every Doc, with the question before each window.

    pieces (Sequence[DocPieces]): The Doc of each question.
    prefixes (Sequence[Ints]): Question and separator.
    window (int): Most pieces of a sequence. A question that leaves less than half of the usual new pieces does not
        lose any: its sequences are longer.
    context (int): Pieces to the left that a window shares with the one before it.
    RETURNS (list[QuestionWindow]): In the order of the questions.
    """
    windows = []
    for asked, (doc, prefix) in enumerate(zip(pieces, prefixes, strict=True)):
        room = max(window - len(prefix), context + max((window - context) // 2, 1))
        for run in cut_windows([len(doc.ids)], room, context):
            ids = numpy.concatenate([prefix, doc.ids[run.start : run.end]])
            windows.append(QuestionWindow(asked, ids, len(prefix), run.start, run.end))
    return windows


def batch_question_windows(
    windows: Sequence[QuestionWindow], max_pieces: int
) -> Iterator[list[QuestionWindow]]:
    """YIELDS (list[QuestionWindow]): Batches under a budget, longest first; as `batch_windows`, by length alone."""
    return cast(Iterator[list[QuestionWindow]], batch_windows(cast(Any, windows), max_pieces))
