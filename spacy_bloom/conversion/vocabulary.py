"""The vocabulary and merges of a byte-level BPE tokenizer, and how to trim them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers

from ..errors import CheckpointError
from ..files import read_json
from ..settings import shown
from ..tokenizer import BloomTokenizerFast
from .piece_ids import TOKENIZER_FIELDS, named_ids, with_ids

# Characters that stand for bytes in a byte-level vocabulary.
BYTES = frozenset(pre_tokenizers.ByteLevel.alphabet())
# Parts of the file, beside model and added tokens, that name pieces by id.
PARTS = ("padding", "post_processor")


class Vocabulary:
    """The pieces of a tokenizer.json and their merges.

    file (Path): A tokenizer.json.
    tokenizer (BloomTokenizerFast): Loaded from it; the library has checked that merges join pieces of the vocabulary.
    ids (dict[str, int]): Ids of all pieces, including added tokens, in their byte-level spelling.
    RAISES (CheckpointError): It is not a BPE with a piece for every byte, or pieces share an id.
    """

    def __init__(self, file: Path, tokenizer: BloomTokenizerFast) -> None:
        self.file = file
        self.ids = tokenizer.get_vocab()
        self._state: dict[str, Any] = read_json(file)
        self._model: dict[str, Any] = self._state["model"]
        self._check_kind()
        self._pieces = self._by_id()
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
        # Texts and other parts of the file depend on these.
        self._always = {*BYTES, *(token.content for token in added), self._model.get("unk_token")} & set(
            self.ids
        )
        named = named_ids(self._parts(), fields=TOKENIZER_FIELDS)
        self.check(named, str(file))
        self._always |= {self._pieces[i] for i in named}

    def check(self, ids: Iterable[int], where: str) -> None:
        """RAISES (CheckpointError): An id in a file (where) belongs to no piece."""
        strange = [i for i in ids if i not in self._pieces]
        if strange:
            raise CheckpointError(
                f"{where} names a piece by the id {shown(strange[0])}, which no piece in {self.file} has. Correct or "
                "remove it."
            )

    def close(self, used: Iterable[int]) -> list[int]:
        """Find what to keep so that texts of some pieces are encoded as before: these pieces, all pieces that they are
        merged from, every byte, and every added token (control tokens are such).

        A piece is made by the same merges wherever it occurs. With all of its ancestors kept and no merge added, the
        next merge in a text is always the same as before.

        used (Iterable[int]): Ids of pieces.
        RETURNS (list[int]): Ids of the pieces to keep, in the order of their new ids.
        """
        parts: dict[str, list[str]] = {}
        for left, right in map(_pair, self._model["merges"]):
            parts.setdefault(left + right, []).extend((left, right))
        kept = self._always | {self._pieces[i] for i in used}
        unseen = list(kept)
        while unseen:
            new = set(parts.get(unseen.pop(), ())) - kept
            kept |= new
            unseen.extend(new)
        # The library numbers added tokens outside the vocabulary after it.
        vocab = self._model["vocab"]
        return [self.ids[piece] for piece in sorted(kept, key=lambda p: (p not in vocab, self.ids[p]))]

    def trim(self, kept: Sequence[int]) -> str:
        """kept (Sequence[int]): As returned by `close`.
        RETURNS (str): A tokenizer.json with these pieces, numbered in this order, and the merges among them. The rest
            is unchanged.
        """
        new_ids = {self._pieces[old]: new for new, old in enumerate(kept)}
        vocab = {piece: new for piece, new in new_ids.items() if piece in self._model["vocab"]}
        pairs = ((merge, *_pair(merge)) for merge in self._model["merges"])
        merges = [m for m, left, right in pairs if left in vocab and right in vocab and left + right in vocab]
        added = [
            {**token, "id": new_ids[token["content"]]}
            for token in self._state.get("added_tokens", [])
            if token["content"]  # the library ignores empty ones
        ]
        parts = with_ids(self._parts(), lambda i: new_ids[self._pieces[i]], fields=TOKENIZER_FIELDS)
        model = {**self._model, "vocab": vocab, "merges": merges}
        state = {**self._state, **parts, "added_tokens": added, "model": model}
        return json.dumps(state, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _parts(self) -> dict[str, Any]:
        return {name: self._state[name] for name in PARTS if name in self._state}

    def _check_kind(self) -> None:
        model = self._model
        kinds = {
            name: set(_kinds(self._state.get(name))) for name in ("normalizer", "pre_tokenizer", "decoder")
        }
        problem = None
        if model.get("type", "BPE") != "BPE":
            problem = f"a model of the type {shown(model['type'])}"
        elif (
            "ByteLevel" not in kinds["normalizer"] | kinds["pre_tokenizer"]
            or "ByteLevel" not in kinds["decoder"]
        ):
            problem = "one that does not turn text into bytes and back (ByteLevel)"
        elif model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            problem = "one that marks pieces by their place in a word"
        elif model.get("dropout"):
            problem = f"one that leaves out merges at random (dropout {model['dropout']})"
        elif not set(model["vocab"]) >= BYTES:
            missing = sorted(BYTES - set(model["vocab"]))
            problem = f"one without pieces for {len(missing)} bytes ({' '.join(missing[:5])})"
        if problem is not None:
            raise CheckpointError(
                f"Expected {self.file} to be a byte-level BPE with a piece for each of the 256 bytes, as BLOOM's is, "
                f"got {problem}. Its vocabulary cannot be trimmed."
            )

    def _by_id(self) -> dict[int, str]:
        pieces: dict[int, str] = {}
        for piece, i in (*self._model["vocab"].items(), *self.ids.items()):
            if pieces.setdefault(i, piece) != piece:
                raise CheckpointError(
                    f"Expected {self.file} to give every piece an id of its own, got {i} for {shown(pieces[i])} and "
                    f"{shown(piece)}."
                )
        return pieces


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): The two pieces of a merge; older files write them as one string."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _kinds(part: Any) -> Iterator[str]:
    """YIELDS (str): The types of a normalizer, pre-tokenizer or decoder and of its parts."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for inner in part.values():
            if isinstance(inner, list):
                for item in inner:
                    yield from _kinds(item)
