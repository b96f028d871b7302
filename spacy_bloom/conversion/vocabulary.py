"""The vocabulary and merges of a byte-level BPE tokenizer, and a smaller copy of them."""

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

# The characters that stand for the bytes in a byte-level vocabulary.
BYTES = frozenset(pre_tokenizers.ByteLevel.alphabet())
# The parts of the file, beside model and added tokens, that name pieces by id.
PARTS = ("padding", "post_processor")


class Vocabulary:
    """The pieces of a tokenizer, what each is merged from, and the file that says so.

    file (Path): A tokenizer.json.
    tokenizer (BloomTokenizerFast): What was loaded from it: the library has checked that every merge joins
        pieces of the vocabulary to another.
    ids (dict[str, int]): Ids of all pieces, in their byte-level spelling, added tokens included.
    RAISES (CheckpointError): It is no BPE in which every byte has a piece, or pieces share an id.
    """

    def __init__(self, file: Path, tokenizer: BloomTokenizerFast) -> None:
        self.file = file
        self.ids = tokenizer.get_vocab()
        self._state: dict[str, Any] = read_json(file)
        self._model: dict[str, Any] = self._state["model"]
        self._check_kind()
        self._pieces = self._by_id()
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
        # Without these no text or other part of the file is what it was.
        self._always = {*BYTES, *(token.content for token in added), self._model.get("unk_token")} & set(
            self.ids
        )
        named = named_ids(self._parts(), fields=TOKENIZER_FIELDS)
        self.check(named, str(file))
        self._always |= {self._pieces[i] for i in named}

    def check(self, ids: Iterable[int], where: str) -> None:
        """RAISES (CheckpointError): What names these ids (where) names one that is no piece's."""
        strange = [i for i in ids if i not in self._pieces]
        if strange:
            raise CheckpointError(
                f"{where} names a piece by the id {shown(strange[0])}, which {self.file} gives to none. Correct "
                "the id, or remove what names it."
            )

    def close(self, used: Iterable[int]) -> list[int]:
        """The pieces to keep so that texts of some pieces are encoded as they were: those pieces, all that they
        are merged from, every byte, and every added token (the control tokens are such).

        The merges that make a piece are the same wherever it stands. With all of its ancestors there, and no merge
        that was not there before, the next merge in a text is always the one that it was.

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
        # The library numbers added tokens that are not in the vocabulary behind it.
        vocab = self._model["vocab"]
        return [self.ids[piece] for piece in sorted(kept, key=lambda p: (p not in vocab, self.ids[p]))]

    def trim(self, kept: Sequence[int]) -> str:
        """kept (Sequence[int]): As `close` returns it.
        RETURNS (str): A tokenizer.json with these pieces, whose ids are their places, and with the merges among
            them, in their order. All else is as it was.
        """
        new_ids = {self._pieces[old]: new for new, old in enumerate(kept)}
        vocab = {piece: new for piece, new in new_ids.items() if piece in self._model["vocab"]}
        pairs = ((merge, *_pair(merge)) for merge in self._model["merges"])
        merges = [m for m, left, right in pairs if left in vocab and right in vocab and left + right in vocab]
        added = [
            {**token, "id": new_ids[token["content"]]}
            for token in self._state.get("added_tokens", [])
            if token["content"]  # the library leaves out empty ones
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
    """RETURNS (tuple[str, str]): What a merge joins; older files write both as one string."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _kinds(part: Any) -> Iterator[str]:
    """YIELDS (str): The types of a normalizer, pre-tokenizer or decoder and of those in it."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for inner in part.values():
            if isinstance(inner, list):
                for item in inner:
                    yield from _kinds(item)
