"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signature, on the `tokenizers` library."""

import os
import threading
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, overload

from tokenizers import Encoding, Tokenizer
from typing_extensions import Self

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import (
    CHAT_TEMPLATE_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
)
from ..errors import ConfigError, InputError
from ..files import found_instead, replacing_together, to_json, write_text
from ..settings import FLAG, check, one_of
from .batch_encoding import BatchEncoding, as_ids, check_texts, pad, padded_length, to_array
from .special_tokens import ADDITIONAL, MORE_SPECIAL_TOKENS, SPECIAL_TOKENS, SpecialTokens, plain_tokens

SIDE = one_of("left", "right")
DEFAULTS = {
    **SPECIAL_TOKENS,
    "padding_side": "left",
    "add_prefix_space": False,
    "split_special_tokens": False,
}


class BloomTokenizerFast(SpecialTokens):
    """Encodes text to pieces (subwords) with character offsets, and decodes them.

    tokenizer_object (Tokenizer): The `tokenizers` object with vocabulary and merges.
    unk_token, bos_token, eos_token, pad_token (str): The control tokens.
    sep_token, cls_token, mask_token (str | None), additional_special_tokens (list[str]): More control tokens.
    padding_side (str): "left" (as BLOOM's checkpoints have it) or "right".
    add_prefix_space (bool): Whether to encode a text as if it began with a space.
    split_special_tokens (bool): Whether to encode control tokens in texts as ordinary text. False is the behaviour of
        Hugging Face; texts from users should be encoded with True.
    **config: Other fields of `tokenizer_config.json`, kept and written back.
    RAISES (ConfigError): An option is ill-typed or unknown.
    SOURCE: transformers' BloomTokenizerFast, with the same ids and offsets.
    """

    def __init__(self, tokenizer_object: Tokenizer, **config: Any) -> None:
        self.backend_tokenizer = tokenizer_object
        self.init_kwargs = {
            **DEFAULTS,
            **{name: plain_tokens(name, value) for name, value in config.items()},
        }
        # A tokenizer.json may have the settings of the last call before it was saved.
        tokenizer_object.no_padding()
        tokenizer_object.no_truncation()
        self.padding_side = self.init_kwargs["padding_side"]
        self.add_prefix_space = self.init_kwargs["add_prefix_space"]
        check("padding_side", self.padding_side, SIDE)
        check("add_prefix_space", self.add_prefix_space, FLAG)
        self.split_special_tokens = bool(self.init_kwargs["split_special_tokens"])
        self._set_special_tokens()
        if self.add_prefix_space:
            _set_prefix_space(tokenizer_object)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __len__(self) -> int:
        """RETURNS (int): Number of pieces, control tokens included."""
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def vocab_size(self) -> int:
        """RETURNS (int): Number of pieces without added ones."""
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=False)

    def get_vocab(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): All pieces, in their byte-level spelling, with their ids."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    @property
    def literal_pieces(self) -> frozenset[str]:
        """RETURNS (frozenset[str]): Added tokens outside the byte-level vocabulary: they are spelled as text."""
        model = self.backend_tokenizer.model
        added = self.backend_tokenizer.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if model.token_to_id(token.content) is None)

    @overload
    def convert_ids_to_tokens(self, ids: int) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str | None]: ...
    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> str | list[str | None] | None:
        """ids (int | Iterable[int]): One id or several.
        RETURNS (str | None | list[str | None]): The piece, or the list of pieces, in byte-level spelling; None for ids
            without a piece.
        """
        several, is_one = as_ids(ids)
        pieces = [self.backend_tokenizer.id_to_token(i) for i in several]
        return pieces[0] if is_one else pieces

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """tokens (str | Iterable[str]): One piece or several, in byte-level spelling.
        RETURNS (int | list[int]): The id, or the list of ids; `<unk>`'s for unknown pieces.
        """
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def tokenize(self, text: str) -> list[str]:
        """RETURNS (list[str]): The pieces of a text in their byte-level spelling."""
        return self.encode_batch([text])[0].tokens

    def encode(self, text: str, **options: Any) -> list[int]:
        """RETURNS (list[int]): The ids of one text; options as in a call."""
        return self(text, **options)["input_ids"]

    def encode_plain(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts as data, in this thread: control tokens in them are ordinary text, and none are added.

        RETURNS (list[Encoding]): Ids and offsets of each text.
        """
        return self.encode_batch(texts, split_special_tokens=True, add_special_tokens=False, parallel=False)

    def encode_batch(
        self,
        texts: Sequence[str] | Sequence[Sequence[str]],
        *,
        split_special_tokens: bool | None = None,
        is_split_into_words: bool = False,
        add_special_tokens: bool = True,
        parallel: bool = True,
    ) -> list[Encoding]:
        """Encode texts without padding or truncation.

        texts (Sequence[str] | Sequence[Sequence[str]]): Texts, or their words with is_split_into_words.
        parallel (bool): Whether to use all cores. A process that will fork should not: it is warned, and its children
            may wait for threads that they do not have.
        RETURNS (list[Encoding]): One `tokenizers.Encoding` per text: ids, tokens, character offsets.
        RAISES (InputError): Words without add_prefix_space, or input that is not text.
        """
        if is_split_into_words and not self.add_prefix_space:
            raise InputError(
                "Got words (is_split_into_words=True), but the tokenizer was made without "
                "add_prefix_space=True, so the words would lose their spaces. Load it with "
                "add_prefix_space=True or pass the whole text."
            )
        texts = check_texts(texts, is_split_into_words)
        as_text = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        with self._lock:  # a setting of the shared backend, not of the call
            if self.backend_tokenizer.encode_special_tokens != as_text:
                self.backend_tokenizer.encode_special_tokens = as_text
            options = {"is_pretokenized": is_split_into_words, "add_special_tokens": add_special_tokens}
            if parallel:
                return self.backend_tokenizer.encode_batch(texts, **options)
            return [self.backend_tokenizer.encode(text, **options) for text in texts]

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        padding: bool | str = False,
        truncation: bool = False,
        max_length: int | None = None,
        padding_side: str | None = None,
        pad_to_multiple_of: int | None = None,
        is_split_into_words: bool = False,
        add_special_tokens: bool = True,
        split_special_tokens: bool | None = None,
        return_attention_mask: bool = True,
        return_offsets_mapping: bool = False,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Encode one text or a batch.

        text (str | Sequence[str] | Sequence[Sequence[str]]): One text or several; with is_split_into_words,
            the words of one text or of several.
        padding (bool | str): True or "longest" pads to the longest row, "max_length" to max_length.
        truncation (bool): Cut rows to max_length; never done unless asked for.
        padding_side (str | None): Overrides the tokenizer's side.
        split_special_tokens (bool | None): Overrides the tokenizer's treatment of control tokens in text.
        return_tensors (str | None): "pt" or "np" for arrays of shape (batch, length); lists otherwise.
        RETURNS (BatchEncoding): input_ids, attention_mask (1 for pieces, 0 for padding), and offset_mapping
            ((start, end) in Unicode code points; (0, 0) for padding) on request.
        RAISES (InputError): Options that do not fit together.
        """
        if not isinstance(text, str) and isinstance(text, Iterable):
            text = list(text)
        words = is_split_into_words and isinstance(text, list) and (not text or isinstance(text[0], str))
        single = isinstance(text, str) or words
        encodings = self.encode_batch(
            [text] if single else text,  # type: ignore[list-item]
            split_special_tokens=split_special_tokens,
            is_split_into_words=is_split_into_words,
            add_special_tokens=add_special_tokens,
        )
        if truncation and max_length is None:
            raise InputError("Got truncation=True without max_length. Say how many pieces to keep.")
        if max_length is not None and max_length < 0:
            raise InputError(f"Expected max_length to be 0 or more, got {max_length}.")
        keep = max_length if truncation else None
        ids = [e.ids[:keep] for e in encodings]
        columns: dict[str, list] = {"input_ids": ids}
        if return_attention_mask:
            columns["attention_mask"] = [[1] * len(row) for row in ids]
        if return_offsets_mapping:
            columns["offset_mapping"] = [e.offsets[:keep] for e in encodings]
        length = padded_length(padding, max_length, [len(row) for row in ids], pad_to_multiple_of)
        if length is not None:
            side = padding_side or self.padding_side
            check("padding_side", side, SIDE)
            fill = {"input_ids": self.pad_token_id, "attention_mask": 0, "offset_mapping": (0, 0)}
            columns = {
                name: [pad(row, length, fill[name], side) for row in rows] for name, rows in columns.items()
            }
        if return_tensors is not None:
            return BatchEncoding({name: to_array(rows, return_tensors) for name, rows in columns.items()})
        return BatchEncoding({name: rows[0] if single else rows for name, rows in columns.items()})

    def decode(self, ids: int | Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """ids (int | Iterable[int]): One id or several.
        RETURNS (str): The text of the pieces; exactly the text that was encoded, as nothing is cleaned up.
        RAISES (InputError): Negative ids, as labels have them for pieces to ignore.
        """
        ids, _ = as_ids(ids)
        if ids and not 0 <= min(ids) <= max(ids) < 2**32:
            raise InputError(f"Expected ids of pieces, got {min(ids)} to {max(ids)}.")
        # The library's decoder takes the letters of added tokens for the bytes that they stand for elsewhere.
        added, literal = self.backend_tokenizer.get_added_tokens_decoder(), self.literal_pieces
        texts = {
            i: "" if skip_special_tokens and token.special else token.content
            for i, token in added.items()
            if token.content in literal and not token.content.isascii()
        }
        parts = []
        for is_text, run in groupby(ids, texts.__contains__):
            part = list(run)
            if is_text:
                parts += [texts[i] for i in part]
            else:
                parts.append(self.backend_tokenizer.decode(part, skip_special_tokens=skip_special_tokens))
        return "".join(parts)

    def batch_decode(self, rows: Iterable[Iterable[int]], *, skip_special_tokens: bool = False) -> list[str]:
        """RETURNS (list[str]): `decode` of every row."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        **config: Any,
    ) -> Self:
        """Load a checkpoint's tokenizer.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        **config: Override what the checkpoint says, for example `add_prefix_space=True`.
        RETURNS (BloomTokenizerFast): The tokenizer.
        RAISES (CheckpointError, ConfigError): No such checkpoint, or a damaged one.
        """
        options = {"revision": revision, "local_files_only": local_files_only, "weights": False}
        return cls.from_checkpoint(Checkpoint.find(name, **options), **config)

    @classmethod
    def from_directory(cls, path: str | os.PathLike, **config: Any) -> Self:
        """Read `tokenizer.json` and, where they exist, `tokenizer_config.json` and `special_tokens_map.json`.

        path (str | PathLike): Directory in the Hugging Face layout.
        **config: Override what the files say.
        RETURNS (BloomTokenizerFast): The tokenizer.
        RAISES (ConfigError): tokenizer.json is missing, or a file is not what it should be.
        """
        return cls.from_checkpoint(Checkpoint(Path(path)), **config)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, **config: Any) -> Self:
        """As `from_directory`."""
        tokenizer_json, from_files = checkpoint.tokenizer
        try:
            return cls.from_strings(tokenizer_json, {**from_files, **config})
        except ConfigError as error:
            file = checkpoint.path / TOKENIZER_FILE
            raise ConfigError(f"{checkpoint.path}: {error}{found_instead(file)}") from None

    @classmethod
    def from_strings(cls, tokenizer_json: bytes, config: dict[str, Any]) -> Self:
        """RETURNS (BloomTokenizerFast): The tokenizer that the content of a tokenizer.json describes.
        RAISES (ConfigError): The content is not a tokenizer.
        """
        try:
            backend = Tokenizer.from_buffer(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            raise ConfigError(f"The content of {TOKENIZER_FILE} is not a tokenizer: {error}.") from None
        config = {k: v for k, v in config.items() if k not in ("tokenizer_class", "added_tokens_decoder")}
        return cls(backend, **config)

    def to_strings(self) -> tuple[bytes, dict[str, Any]]:
        """RETURNS (tuple[bytes, dict[str, Any]]): What `from_strings` reads: tokenizer.json, the options."""
        return self.backend_tokenizer.to_str().encode("utf8"), dict(self.init_kwargs)

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write the three files that `from_directory` and Hugging Face read.

        path (str | PathLike): Directory, made if it does not exist.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        tokenizer_json, config = self.to_strings()
        names = (*SPECIAL_TOKENS, *MORE_SPECIAL_TOKENS, ADDITIONAL)
        special = {name: getattr(self, name) for name in names if getattr(self, name)}
        config = {**config, **special, "tokenizer_class": "BloomTokenizerFast"}
        (path / CHAT_TEMPLATE_FILE).unlink(missing_ok=True)  # in the config, or another tokenizer's
        with replacing_together(path) as create:
            create(TOKENIZER_FILE).write_bytes(tokenizer_json)
            write_text(create(TOKENIZER_CONFIG_FILE), to_json(config))
            write_text(create(SPECIAL_TOKENS_FILE), to_json(special))


def _set_prefix_space(backend: Tokenizer) -> None:
    """Switch the prefix space on inside an existing pre-tokenizer and decoder, however they are nested.

    SOURCE: transformers does the same to the same two parts.
    """
    for name in ("pre_tokenizer", "decoder"):
        part = getattr(backend, name)
        if part is not None:
            state = part.__getstate__().replace(b'"add_prefix_space":false', b'"add_prefix_space":true')
            part.__setstate__(state)
            setattr(backend, name, part)
