"""The config of a tokenizer: what its attributes were made of, and what is written of them."""

import copy
from typing import Any

from tokenizers import AddedToken

from ..errors import ConfigError
from ..settings import FLAG, TEXT, check, list_of, number, optional, shown
from .call_options import SIDE
from .chat_text import read_chat_template
from .special_tokens import SPECIAL_TOKENS, plain_tokens
from .vocabulary import Vocabulary

NO_LENGTH = int(1e30)  # of texts, where a model has none; SOURCE: transformers
# What is written into every `tokenizer_config.json`.
DEFAULTS = {
    **SPECIAL_TOKENS,
    "padding_side": "right",
    "add_prefix_space": False,
    "split_special_tokens": False,
}
# Written where it is not this.
SILENT_DEFAULTS: dict[str, Any] = {
    "truncation_side": "right",
    "model_max_length": NO_LENGTH,
    "clean_up_tokenization_spaces": False,
    "chat_template": None,
    "model_input_names": ["input_ids", "attention_mask"],
    "sep_token": None,
    "cls_token": None,
    "mask_token": None,
    "additional_special_tokens": [],
    "extra_special_tokens": {},
}
# Of other tokenizers or of loading, and said in other places.
NOT_KEPT = (
    "tokenizer_class",
    "added_tokens_decoder",
    "vocab_file",
    "merges_file",
    "name_or_path",
    "from_slow",
)


class TokenizerConfig(Vocabulary):
    """The attributes of a tokenizer, which can be set."""

    name_or_path: str
    padding_side: str
    truncation_side: str
    add_prefix_space: bool
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    model_input_names: list[str]
    model_max_length: int
    chat_template: str | dict[str, str] | None
    extra_special_tokens: dict[str, Any]
    init_kwargs: dict[str, Any]

    def _read_config(self, config: dict[str, Any]) -> None:
        kept = {name: plain_tokens(name, value) for name, value in config.items() if name not in NOT_KEPT}
        silent = {name: value for name, value in kept.items() if SILENT_DEFAULTS.get(name, 0) != value}
        self.init_kwargs: dict[str, Any] = {**DEFAULTS, **silent}
        self.init_inputs = ()
        self.name_or_path = str(config.get("name_or_path") or "")
        self.verbose = bool(config.get("verbose", False))
        self.deprecation_warnings: dict[str, bool] = {}  # set by data collators of transformers
        self.padding_side = config.get("padding_side", "right")
        self.truncation_side = config.get("truncation_side", "right")
        self.add_prefix_space = config["add_prefix_space"]
        self.clean_up_tokenization_spaces = config["clean_up_tokenization_spaces"]
        self.split_special_tokens = bool(config.get("split_special_tokens", False))
        names = config.get("model_input_names") or SILENT_DEFAULTS["model_input_names"]
        check("model_input_names", names, list_of(TEXT))
        self.model_input_names = list(names)
        length = config.get("model_max_length", config.get("max_len"))
        self.model_max_length = NO_LENGTH if length is None else length
        check("model_max_length", self.model_max_length, number())
        self.chat_template = read_chat_template(config.get("chat_template"))
        for name, value in {
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
        }.items():
            check(name, value, SIDE)
        check("add_prefix_space", self.add_prefix_space, FLAG)
        check("clean_up_tokenization_spaces", self.clean_up_tokenization_spaces, optional(FLAG))
        self._name_special_tokens(config)
        self.extra_special_tokens = dict(config.get("extra_special_tokens") or {})

    def _add_missing(self, added: dict[Any, Any]) -> None:
        """Add tokens that were added to the tokenizer that a config is of, and control tokens that are not there."""
        special = set(self.all_special_tokens)
        tokens = read_added_tokens(added)
        known = {*self.added_tokens_encoder, *(token.content for token in tokens)}
        for token in tokens:
            token.special = token.special or token.content in special
        for named in self.all_special_tokens_extended:
            if str(named) not in known:
                token = named if isinstance(named, AddedToken) else AddedToken(named, special=True)
                token.special = True
                tokens.append(token)
        self.add_tokens(tokens)

    @property
    def max_len_single_sentence(self) -> int:
        """RETURNS (int): The most pieces of a text that leave room for what encoding adds."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """RETURNS (int): The most pieces of both texts of a pair that leave room for what encoding adds."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _options(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The config as it is now, in plain values; what is unknown is as it was given."""
        names = [name for name in (*DEFAULTS, *SILENT_DEFAULTS) if name != "extra_special_tokens"]
        now = {name: getattr(self, name) for name in names}
        now["extra_special_tokens"] = {name: getattr(self, name) for name in self.extra_special_tokens}
        own = {name: value for name, value in now.items() if SILENT_DEFAULTS.get(name, ...) != value}
        kept = {name: value for name, value in self.init_kwargs.items() if name not in now}
        return copy.deepcopy({**kept, **own})


def read_added_tokens(values: Any) -> list[AddedToken]:
    """RETURNS (list[AddedToken]): `added_tokens_decoder`, by id. RAISES (ConfigError): It is none."""
    try:
        numbered = sorted(((int(i), token) for i, token in values.items()), key=lambda item: item[0])
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(
            f"Expected added_tokens_decoder to have tokens by id, got {shown(values)}."
        ) from None
    return [read_added_token(token) for _, token in numbered]


def read_added_token(value: Any) -> AddedToken:
    """RETURNS (AddedToken): A value of `added_tokens_decoder`. RAISES (ConfigError): It is none."""
    if isinstance(value, AddedToken):
        return value
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise ConfigError(f"Expected added_tokens_decoder to have tokens with 'content', got {value!r:.80}.")
    return AddedToken(value["content"], **{name: bool(value[name]) for name in names if name in value})
