"""The bytes of each piece: which pieces spell a place in a text, and pieces as text in whole characters."""

import codecs
from collections.abc import Iterable

import numpy
from numpy.typing import NDArray

from ..errors import InputError
from ..tokenizer import BloomTokenizerFast

Ints = NDArray[numpy.int64]

ROOT = 0
END = 256  # marks the end of a string in an array of bytes; no piece crosses it
SYMBOLS = 257


def _byte_characters() -> dict[str, int]:
    """RETURNS (dict[str, int]): The character that stands for each byte in a byte-level vocabulary.
    SOURCE: GPT-2's encoder: printable bytes stand for themselves, the others for U+0100 and on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF = _byte_characters()


def spelled_bytes(piece: str) -> bytes:
    """The bytes of a piece in byte-level spelling.

    RETURNS (bytes): The bytes; the UTF-8 bytes of a piece with a character that stands for no byte, which only added
        pieces can have.
    SOURCE: the byte-level decoder of `tokenizers`.
    """
    try:
        return bytes(map(BYTE_OF.__getitem__, piece))
    except KeyError:
        return piece.encode("utf8")


def vocabulary_bytes(tokenizer: BloomTokenizerFast) -> dict[int, bytes]:
    """RETURNS (dict[int, bytes]): The bytes of each piece, by id. Added pieces are text, not in byte-level spelling."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return {
        i: added[i].content.encode("utf8") if i in added else spelled_bytes(piece)
        for piece, i in tokenizer.get_vocab().items()
    }


def to_symbols(strings: Iterable[bytes]) -> Ints:
    """RETURNS (Ints): The bytes of all strings, END after each. Shape (bytes + strings,)."""
    arrays = [array for s in strings for array in (numpy.frombuffer(s, dtype=numpy.uint8), [END])]
    return numpy.concatenate(arrays).astype(numpy.int64) if arrays else numpy.zeros(0, dtype=numpy.int64)


class PieceBytes:
    """The exact bytes of each piece of a byte-level vocabulary, and a trie of them. Control tokens have no bytes: no
    text spells them.

    The trie is one sorted array. Nodes are numbered level by level, in the order of their bytes, and the edge
    from a node under a byte is the number `node * 257 + byte`; so edge i leads to node i + 1, and the root
    is 0.

    tokenizer (BloomTokenizerFast): Source of the pieces. Pieces added later are not seen.
    control (dict[int, bytes]): The control tokens, with the bytes that decoding writes for them.
    single_bytes (frozenset[int]): The bytes that are pieces by themselves.
    space (int): The node of a single space.
    """

    def __init__(self, tokenizer: BloomTokenizerFast) -> None:
        vocabulary = vocabulary_bytes(tokenizer)
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        control = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
        self.control = {i: vocabulary[i] for i in sorted(control & vocabulary.keys())}
        spelled = [b""] * (max(vocabulary) + 1)
        for piece_id in vocabulary.keys() - control:
            spelled[piece_id] = vocabulary[piece_id]
        self.single_bytes = frozenset(s[0] for s in spelled if len(s) == 1)
        self._data = b"".join(spelled)
        self._ends = numpy.cumsum([0, *map(len, spelled)])  # of the piece before
        self._build_trie(spelled)
        self.space = int(self._descend(numpy.array([ROOT]), numpy.array([0x20]))[0])

    def __len__(self) -> int:
        """RETURNS (int): Number of ids up to the last piece."""
        return len(self._ends) - 1

    def __getitem__(self, piece: int) -> bytes:
        """RETURNS (bytes): The bytes of a piece; none for control tokens and for ids without a piece.
        RAISES (InputError): The id is negative.
        """
        if piece < 0:
            raise InputError(f"Expected the id of a piece, got {piece}.")
        return self._data[self._ends[piece] : self._ends[piece + 1]] if piece < len(self) else b""

    def match(self, symbols: Ints, positions: Ints, node: int = ROOT) -> tuple[Ints, Ints, Ints]:
        """Find the pieces that match the bytes at some positions.

        symbols (Ints): As made by `to_symbols`, END last. Shape (symbols,).
        positions (Ints): Positions in it. Shape (positions,).
        node (int): Where in the trie to start. From a node below the root, pieces that begin with its bytes are found,
            and the rest of their bytes is matched. Negative: nothing is found.
        RETURNS (tuple[Ints, Ints, Ints]): For each match the index of its position, the number of bytes matched, and
            the piece's node. Shapes (n,).
        """
        which = numpy.arange(len(positions) if node >= ROOT else 0)
        nodes = numpy.full(len(which), node, dtype=numpy.int64)
        found = [(which[:0], which[:0], nodes[:0])]
        depth = 0
        while len(which):
            ends = self._first[nodes] < self._first[nodes + 1]
            found.append((which[ends], numpy.full(ends.sum(), depth), nodes[ends]))
            nodes = self._descend(nodes, symbols[positions[which] + depth])
            which, nodes = which[nodes > ROOT], nodes[nodes > ROOT]
            depth += 1
        where, lengths, last = (numpy.concatenate(column) for column in zip(*found, strict=True))
        return where, lengths, last

    def at(self, nodes: Ints) -> Ints:
        """RETURNS (Ints): The distinct ids of the pieces that end at any of the nodes. Shape (pieces,)."""
        nodes = numpy.unique(nodes)
        counts = self._first[nodes + 1] - self._first[nodes]
        before = numpy.cumsum(counts) - counts
        return self._pieces[numpy.arange(counts.sum()) + numpy.repeat(self._first[nodes] - before, counts)]

    def _descend(self, nodes: Ints, symbols: Ints) -> Ints:
        """RETURNS (Ints): The child of each node under its symbol, -1 if there is none. Shape (nodes,)."""
        edges = nodes * SYMBOLS + symbols
        index = numpy.searchsorted(self._edges, edges)
        return numpy.where(self._edges[index] == edges, index + 1, -1)

    def _build_trie(self, spelled: list[bytes]) -> None:
        pieces = sorted((i for i, s in enumerate(spelled) if s), key=spelled.__getitem__)
        symbols = numpy.frombuffer(b"".join(spelled[i] for i in pieces), dtype=numpy.uint8)
        lengths = numpy.array([len(spelled[i]) for i in pieces], dtype=numpy.int64)
        starts = numpy.cumsum(lengths) - lengths
        nodes = numpy.zeros(len(pieces), dtype=numpy.int64)  # of each piece, as deep as the loop has come
        levels, n_nodes, depth = [], 1, 0
        live = numpy.flatnonzero(lengths)
        while len(live):
            # In the order of their bytes, pieces that share a beginning stand together.
            edges = nodes[live] * SYMBOLS + symbols[starts[live] + depth]
            new = numpy.diff(edges, prepend=-1) != 0
            nodes[live] = n_nodes - 1 + numpy.cumsum(new)
            levels.append(edges[new])
            n_nodes += len(levels[-1])
            depth += 1
            live = live[lengths[live] > depth]
        # The last number is larger than any edge, so that a search never ends beyond the array.
        self._edges = numpy.concatenate([*levels, [numpy.iinfo(numpy.int64).max]])
        order = numpy.argsort(nodes, kind="stable")
        self._pieces = numpy.array(pieces, dtype=numpy.int64)[order]
        self._first = numpy.searchsorted(nodes[order], numpy.arange(n_nodes + 1))


class TextStream:
    """Turns pieces into text one by one, in whole characters: the bytes of an incomplete character wait for the next
    piece. The parts joined are `tokenizer.decode` of all pieces; bytes that are not UTF-8 become U+FFFD.

    pieces (PieceBytes): The bytes of the pieces.
    skip_special_tokens (bool): Leave out control tokens, as in `tokenizer.decode`.
    """

    def __init__(self, pieces: PieceBytes, *, skip_special_tokens: bool = False) -> None:
        self._pieces = pieces
        self._control = {} if skip_special_tokens else pieces.control
        self._decoder = codecs.getincrementaldecoder("utf8")(errors="replace")

    def add(self, piece: int) -> str:
        """RETURNS (str): The characters that the piece completes, possibly none."""
        return self._decoder.decode(self._pieces[piece] or self._control.get(piece, b""))

    def finish(self) -> str:
        """RETURNS (str): U+FFFD if a character is incomplete. The stream can be used again afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
