"""Pieces and their ids."""

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import overload

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import Decoder

from ..errors import InputError
from .special_tokens import SpecialTokens
from .tensors import to_python


class Vocabulary(SpecialTokens):
    """The pieces of a tokenizer, in their byte-level spelling.

    _tokenizer (Tokenizer): The `tokenizers` object.
    _lock (Lock): Held while the object is changed, and while it works without Python's own lock.
    """

    _tokenizer: Tokenizer
    _lock: Lock

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """RETURNS (Tokenizer): The `tokenizers` object."""
        return self._tokenizer

    @property
    def decoder(self) -> Decoder:
        """RETURNS (Decoder): Its decoder."""
        return self._tokenizer.decoder

    def __len__(self) -> int:
        """RETURNS (int): Number of pieces, control tokens and added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    @property
    def vocab_size(self) -> int:
        """RETURNS (int): Number of pieces without added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    def get_vocab(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): All pieces, in their byte-level spelling, with their ids."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    @property
    def vocab(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): As `get_vocab`."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """RETURNS (dict[int, AddedToken]): Added tokens, which are found in text before it is cut, by id."""
        return self._tokenizer.get_added_tokens_decoder()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): The ids of added tokens, in order."""
        return {token.content: i for i, token in sorted(self.added_tokens_decoder.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): As `added_tokens_encoder`."""
        return self.added_tokens_encoder

    @property
    def literal_pieces(self) -> frozenset[str]:
        """RETURNS (frozenset[str]): Added tokens outside the byte-level vocabulary: they are spelled as text."""
        model = self._tokenizer.model
        added = self.added_tokens_decoder.values()
        return frozenset(token.content for token in added if model.token_to_id(token.content) is None)

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens that are found in text before it is cut.

        new_tokens (str | AddedToken | Sequence[str | AddedToken]): One token or several.
        special_tokens (bool): Whether they are control tokens, which `skip_special_tokens` leaves out.
        RETURNS (int): Number of pieces that were not in the vocabulary: the model's embeddings must grow by as many.
        RAISES (InputError): One is not a token.
        """
        several = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens or ())
        if not all(isinstance(token, (str, AddedToken)) for token in several):
            raise InputError(f"Expected tokens as text or AddedToken, got {several!r:.80}.")
        with self._lock:
            if special_tokens:
                return self._tokenizer.add_special_tokens(several)
            return self._tokenizer.add_tokens(several)

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """ids (int | Iterable[int]): One id or several, also as an array or tensor.
        skip_special_tokens (bool): Leave out control tokens of several.
        RETURNS (str | None | list[str | None]): The piece, or the list of pieces, in byte-level spelling; None for ids
            without a piece.
        RAISES (InputError): Negative ids, as labels have them for pieces to ignore.
        """
        several, is_one = as_ids(ids)
        if is_one:
            return self._tokenizer.id_to_token(several[0])
        skipped = frozenset(self.all_special_ids if skip_special_tokens else ())
        return [self._tokenizer.id_to_token(i) for i in several if i not in skipped]

    def _convert_id_to_token(self, index: int) -> str | None:
        # Called by data collators of transformers.
        return self.convert_ids_to_tokens(int(index))

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """tokens (str | Iterable[str]): One piece or several, in byte-level spelling.
        RETURNS (int | list[int]): The id, or the list of ids; `<unk>`'s for unknown pieces.
        """
        if isinstance(tokens, str):
            found = self._tokenizer.token_to_id(tokens)
            # There is no `<unk>` in a tokenizer that was made with unk_token=None.
            return self.unk_token_id if found is None and tokens != self.unk_token else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """RETURNS (int): Number of pieces that encoding adds to a text or pair: none in BLOOM."""
        return self._tokenizer.num_special_tokens_to_add(pair)


def as_ids(ids: int | Iterable[int]) -> tuple[list[int], bool]:
    """RETURNS (tuple[list[int], bool]): Ids as a list, and whether it was one id.
    RAISES (InputError): What is no id: negative, or a list of lists.
    """
    plain = to_python(ids)
    is_one = isinstance(plain, int)
    several = [plain] if is_one else list(plain)
    if not all(isinstance(i, int) for i in several):
        several = [to_python(i) for i in several]
    if not all(isinstance(i, int) for i in several):
        raise InputError(f"Expected ids of pieces, got {several!r:.80}. For rows of ids use batch_decode.")
    if several and not 0 <= min(several) <= max(several) < 2**32:
        raise InputError(f"Expected ids of pieces, got {min(several)} to {max(several)}.")
    return several, is_one
