"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signatures, on the `tokenizers` library."""

import copy
import os
import re
import threading
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer

from ..errors import ConfigError
from ..kinship import Kin
from .chat import Chat
from .decoder import TextDecoder
from .files import Files
from .prepared_ids import PreparedIds
from .special_tokens import read_tokens
from .training import Training

MAX_HOLES = 2**20  # ids without a piece
# Without a number of seven digits there cannot be so many; to list all pieces would take as long as reading the file.
LARGE_NUMBER = re.compile(rb":\s*\d{7}")


class BloomTokenizerFast(Kin, Chat, TextDecoder, PreparedIds, Files, Training):
    """Encodes text to pieces (subwords) with character offsets, and decodes them.

    vocab_file (Tokenizer | None): A `tokenizers` object; files in other formats than tokenizer.json are not read.
    merges_file (None): As there is none.
    tokenizer_file (str | PathLike | None): A tokenizer.json.
    unk_token, bos_token, eos_token, pad_token (str | AddedToken | None): The control tokens.
    add_prefix_space (bool): Whether to encode a text as if it began with a space.
    clean_up_tokenization_spaces (bool): Whether to decode without spaces before English punctuation.
    tokenizer_object (Tokenizer | None): A `tokenizers` object with vocabulary and merges, which is copied.
    tokenizer_buffer (bytes | None): The content of a tokenizer.json.
    **config: Other fields of `tokenizer_config.json`; unknown ones are kept and written back.
        sep_token, cls_token, mask_token, additional_special_tokens, extra_special_tokens: More control tokens.
        padding_side, truncation_side (str): "right", or "left" as BLOOM's checkpoints have it for padding.
        model_max_length (int): The most pieces a model can read; BLOOM has no such length.
        model_input_names (list[str]): What a call returns if nothing else is asked.
        split_special_tokens (bool): Whether to encode control tokens in texts as ordinary text. False is the behaviour
            of Hugging Face; texts from users should be encoded with True.
        chat_template (str | dict[str, str]): For `apply_chat_template`.
        added_tokens_decoder (dict[int, AddedToken]): Added tokens, in the order in which those that are new get ids.
    RAISES (ConfigError): An option is ill-typed, or there is nothing to make a tokenizer of.
    SOURCE: transformers' BloomTokenizerFast, with the same ids and offsets.
    """

    _kin = ("transformers.tokenization_utils_fast", "PreTrainedTokenizerFast")
    vocab_files_names: ClassVar[dict[str, str]] = {"tokenizer_file": "tokenizer.json"}
    pretrained_vocab_files_map: ClassVar[dict[str, dict[str, str]]] = {}
    slow_tokenizer_class = None
    is_fast = True
    can_save_slow_tokenizer = True  # as there

    def __init__(
        self,
        vocab_file: Tokenizer | None = None,
        merges_file: None = None,
        tokenizer_file: str | os.PathLike | None = None,
        unk_token: str | AddedToken | None = "<unk>",
        bos_token: str | AddedToken | None = "<s>",
        eos_token: str | AddedToken | None = "</s>",
        pad_token: str | AddedToken | None = "<pad>",
        add_prefix_space: bool = False,
        clean_up_tokenization_spaces: bool = False,
        *,
        tokenizer_object: Tokenizer | None = None,
        tokenizer_buffer: bytes | None = None,
        **config: Any,
    ) -> None:
        if isinstance(vocab_file, Tokenizer):
            vocab_file, tokenizer_object = None, vocab_file
        if vocab_file is not None or merges_file is not None:
            raise ConfigError("Got vocab_file or merges_file. Pass a tokenizer.json as tokenizer_file.")
        self._lock = threading.Lock()
        self._tokenizer = _make_backend(tokenizer_file, tokenizer_object, tokenizer_buffer)
        given = {
            "unk_token": unk_token,
            "bos_token": bos_token,
            "eos_token": eos_token,
            "pad_token": pad_token,
            "add_prefix_space": add_prefix_space,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        config = {name: read_tokens(name, value) for name, value in {**config, **given}.items()}
        self._read_config(config)
        self._add_missing(config.get("added_tokens_decoder") or {})
        if self.add_prefix_space:
            _set_prefix_space(self._tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        added = "\n\t".join(f"{i}: {token!r}," for i, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path='{self.name_or_path}', vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side='{self.padding_side}', "
            f"truncation_side='{self.truncation_side}', special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, "
            f"added_tokens_decoder={{\n\t{added}\n}}\n)"
        )


def _make_backend(file: Any, made: Tokenizer | None, content: bytes | None) -> Tokenizer:
    """RETURNS (Tokenizer): From one of a tokenizer.json, its content, or another object."""
    try:
        if made is not None:
            backend = copy.deepcopy(made)
        elif content is not None:
            backend = Tokenizer.from_buffer(content)
        elif file is not None:
            content = Path(file).read_bytes()
            backend = Tokenizer.from_buffer(content)
        else:
            raise ConfigError(
                "Got nothing to make a tokenizer of. Pass tokenizer_file or tokenizer_object, or load a checkpoint's "
                "with BloomTokenizerFast.from_pretrained."
            )
    except (ConfigError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises bare Exception, and panics, which are none
        where = "The content of tokenizer.json" if file is None else os.fspath(file)
        raise ConfigError(f"{where} is not a tokenizer: {error}.") from None
    if made is None and content is not None and LARGE_NUMBER.search(content):
        _check_ids(backend)
    # A tokenizer.json may have the settings of the last call before it was saved.
    backend.no_padding()
    backend.no_truncation()
    return backend


def _check_ids(backend: Tokenizer) -> None:
    """RAISES (ConfigError): Ids are far apart: writing and copying count through all, also those without a piece."""
    ids = backend.get_vocab(with_added_tokens=True).values()
    most = len(ids) + MAX_HOLES
    if max(ids, default=0) >= most:
        raise ConfigError(f"Expected ids of {len(ids)} pieces below {most}, got {max(ids)}.")


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
