"""A Doc with its tokens, pieces and windows, for display."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.tokens import Doc

from ...generation.piece_bytes import vocabulary_bytes
from ...thinc_layers.pieces.question_windows import token_pieces
from ...thinc_layers.pieces.windows import DocPieces, Window, WindowSettings, cut_docs
from ...tokenizer import BloomTokenizerFast

VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})
MAX_SHOWN = 40  # characters of a window's text


@dataclass(frozen=True, eq=False)
class CutText:
    """A Doc that has been cut.

    doc (Doc): Text and tokens.
    pieces (DocPieces): The pieces, as the model gets them.
    spelled (list[bytes]): The bytes of each piece.
    of_token (list[range]): The pieces of each token.
    windows (list[Window]): The runs of pieces that the model sees at once.
    """

    doc: Doc
    pieces: DocPieces
    spelled: list[bytes]
    of_token: list[range]
    windows: list[Window]

    def __len__(self) -> int:
        """RETURNS (int): Number of pieces."""
        return len(self.spelled)

    def text_of(self, piece: int) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): The characters that a piece covers, at least in part."""
        start, end = self.pieces.offsets[piece].tolist()
        return start, end

    def is_partial(self, piece: int) -> bool:
        """RETURNS (bool): Whether a piece begins or ends inside a character."""
        try:
            self.spelled[piece].decode("utf8")
        except UnicodeDecodeError:
            return True
        return False

    def sharers(self, piece: int) -> list[int]:
        """RETURNS (list[int]): The tokens of a piece."""
        start, end = self.text_of(piece)
        near = self.doc.char_span(start, end, alignment_mode="expand")
        tokens = range(near.start, near.end) if near is not None else range(len(self.doc))
        return [token for token in tokens if piece in self.of_token[token]]

    def has_own_pieces(self, token: int) -> bool:
        """RETURNS (bool): Whether a token's pieces cover some of its characters; otherwise it takes the nearest piece."""
        start, end = self.text_of(self.of_token[token][0])
        own = self.doc[token]
        return start < own.idx + len(own) and own.idx < end and len(own) > 0

    def rows(self) -> Iterator[tuple[int | None, range]]:
        """YIELDS (tuple[int | None, range]): Each token and its pieces, in the order of the text; None for pieces that
        belong to no token.
        """
        done = 0
        for token, pieces in enumerate(self.of_token):
            if done < pieces.start:
                yield None, range(done, pieces.start)
            yield token, pieces
            done = max(done, pieces.stop)
        if done < len(self):
            yield None, range(done, len(self))

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it: pieces by number, offsets in code points, bytes in hexadecimal."""
        ids = self.pieces.ids.tolist()
        return {
            "text": self.doc.text,
            "tokens": [
                {"text": t.text, "start": t.idx, "end": t.idx + len(t), "pieces": list(self.of_token[t.i])}
                for t in self.doc
            ],
            "pieces": [
                {"id": ids[i], "shown": readable(spelled), "bytes": spelled.hex(), "start": start, "end": end}
                for i, (spelled, (start, end)) in enumerate(
                    zip(self.spelled, self.pieces.offsets.tolist(), strict=True)
                )
            ],
            "windows": [
                {"start": w.start, "end": w.end, "new_from": w.keep, "new_to": w.keep_end}
                for w in self.windows
            ],
        }


def cut_texts(tokenizer: BloomTokenizerFast, docs: Sequence[Doc], settings: WindowSettings) -> list[CutText]:
    """RETURNS (list[CutText]): Docs, cut as the transformer cuts them."""
    pieces, spelled = cut_docs(tokenizer, docs), vocabulary_bytes(tokenizer)
    windows = settings.cut([len(p.ids) for p in pieces])
    cut = []
    for number, (doc, p) in enumerate(zip(docs, pieces, strict=True)):
        first, last = token_pieces(p.align)
        of_token = [range(a, b + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        own = [window for window in windows if window.doc == number]
        cut.append(CutText(doc, p, [spelled[i] for i in p.ids.tolist()], of_token, own))
    return cut


def readable(spelled: bytes) -> str:
    """RETURNS (str): The text of a piece on one line. Bytes of incomplete characters are shown as \\xNN; white space and
    what does not print (or would control a terminal) is made visible.
    """
    text = spelled.decode("utf8", errors="backslashreplace").translate(VISIBLE)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table_rows(cut: CutText) -> list[tuple[str, str, str, str]]:
    """RETURNS (list[tuple[str, str, str, str]]): Number and text of each token, its pieces, and notes."""
    rows = []
    for token, pieces in cut.rows():
        shown = " | ".join(readable(cut.spelled[piece]) for piece in pieces)
        if token is None:
            rows.append(("", "", shown, "between tokens"))
        else:
            text = readable(cut.doc[token].text.encode("utf8"))
            rows.append((str(token), text, shown, "; ".join(_notes(cut, token))))
    return rows


def _notes(cut: CutText, token: int) -> Iterator[str]:
    pieces = cut.of_token[token]
    if not cut.has_own_pieces(token):
        yield "no piece of its own: takes the nearest"
    for piece in dict.fromkeys((pieces[0], pieces[-1])):  # only these can reach beyond a token
        others = [str(other) for other in cut.sharers(piece) if other != token]
        if others:
            yield f"shares {readable(cut.spelled[piece])} with {', '.join(others)}"
    if any(cut.is_partial(piece) for piece in pieces):
        yield "parts of characters"


def window_lines(cut: CutText) -> list[str]:
    """RETURNS (list[str]): Where each window starts and ends, and the text with which its new pieces begin."""
    lines = []
    for number, window in enumerate(cut.windows, start=1):
        start = cut.text_of(window.keep)[0]
        beginning = readable(cut.doc.text[start : start + MAX_SHOWN].encode("utf8"))
        n_context = len(window) - (window.keep_end - window.keep)
        context = f", {n_context} of them context" if n_context else ""
        lines.append(
            f"window {number}: pieces {window.start} to {window.end - 1}{context}; new from {beginning}"
        )
    return lines
