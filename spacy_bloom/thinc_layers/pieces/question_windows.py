"""Questions and Docs as sequences of pieces for the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
from spacy.tokens import Doc
from thinc.types import Ragged
from tokenizers import Encoding

from ...tokenizer import BloomTokenizerFast
from .alignment import Ints
from .question_overlap import QuestionOverlap, TextNgrams
from .windows import DocPieces, WindowSettings, cut_docs


@dataclass(frozen=True, eq=False)
class QuestionWindow:
    """A question, the separator and a run of a Doc's pieces, as one sequence.

    asked (int): Index of the question in its batch.
    ids (Ints): Shape (prefix + end - start,).
    prefix (int): Pieces of question and separator. The last of them stands for "no answer here".
    start, end (int): The run of the Doc's pieces.
    overlap (QuestionOverlap | None): How much of the question is found in the Doc; None if the model reads none.
    """

    asked: int
    ids: Ints
    prefix: int
    start: int
    end: int
    overlap: QuestionOverlap | None = None

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
    settings: WindowSettings,
    with_overlap: bool = False,
) -> tuple[list[QuestionWindow], list[TokenPieces]]:
    """Cut Docs into windows, each with a question in front.

    asked (Sequence[tuple[Doc, str]]): A Doc and a question, which is ordinary text.
    separator (str): Text between question and Doc. Control tokens in it are used as such.
    settings (WindowSettings): As for `cut_question_windows`.
    with_overlap (bool): Whether to compare each Doc with its question.
    RETURNS (tuple[list[QuestionWindow], list[TokenPieces]]): The windows of all questions, and the pieces of the
        tokens of each question's Doc.
    """
    docs = {id(doc): doc for doc, _ in asked}  # each is cut once, however many questions it has
    cut = dict(zip(docs, cut_docs(tokenizer, list(docs.values())), strict=True))
    pieces = [cut[id(doc)] for doc, _ in asked]
    questions = tokenizer.encode_plain([question for _, question in asked])
    (between,) = tokenizer.encode_batch([separator], split_special_tokens=False, add_special_tokens=False)
    prefixes = [numpy.concatenate([_ids(question), _ids(between)]) for question in questions]
    ngrams = {key: TextNgrams.of(doc.text) for key, doc in docs.items() if with_overlap}
    overlaps = [
        QuestionOverlap.of(ngrams[id(doc)], question, own.offsets) if with_overlap else None
        for (doc, question), own in zip(asked, pieces, strict=True)
    ]
    windows = cut_question_windows(pieces, prefixes, overlaps, settings)
    return windows, [token_pieces(doc.align) for doc in pieces]


def _ids(encoding: Encoding) -> Ints:
    return numpy.array(encoding.ids, dtype=numpy.int64)


def cut_question_windows(
    pieces: Sequence[DocPieces],
    prefixes: Sequence[Ints],
    overlaps: Sequence[QuestionOverlap | None],
    settings: WindowSettings,
) -> list[QuestionWindow]:
    """Cover every piece of every Doc, with the question in front of each window.

    pieces (Sequence[DocPieces]): The Doc of each question.
    prefixes (Sequence[Ints]): Question and separator.
    overlaps (Sequence[QuestionOverlap | None]): How much of each question is found in its Doc, or None.
    settings (WindowSettings): How many pieces a sequence has, and how many a window shares with the one before it.
        Where a long question would leave less than half of the usual new pieces, its sequences are longer instead.
    RETURNS (list[QuestionWindow]): In the order of the questions.
    """
    windows = []
    context = settings.context
    for asked, (doc, prefix, overlap) in enumerate(zip(pieces, prefixes, overlaps, strict=True)):
        room = max(settings.window - len(prefix), context + max((settings.window - context) // 2, 1))
        for run in WindowSettings(room, context).cut([len(doc.ids)]):
            ids = numpy.concatenate([prefix, doc.ids[run.start : run.end]])
            windows.append(QuestionWindow(asked, ids, len(prefix), run.start, run.end, overlap))
    return windows
