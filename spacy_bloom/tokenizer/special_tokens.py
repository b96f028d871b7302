"""The control tokens of a tokenizer: attributes that can be read and set, as text and as ids."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken

from ..errors import InputError
from ..settings import Check, check, list_of, optional

# In the order of their ids in BLOOM, 0 to 3.
SPECIAL_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
ADDITIONAL = "additional_special_tokens"
# In Hugging Face's order, which is that of `all_special_tokens`.
NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
    ADDITIONAL,
)
TOKEN = Check(
    "a control token as text or as a record with 'content'",
    lambda x: isinstance(x, AddedToken) or (isinstance(x, str) and x != ""),
)


class SpecialTokens:
    """The control tokens as attributes (`pad_token`, None where there is none), and their ids (`pad_token_id`).

    Setting one, by text or by id, only names it; `add_special_tokens` also gives it an id where it has none.
    """

    SPECIAL_TOKENS_ATTRIBUTES: list[str]
    _special_tokens_map: dict[str, Any]
    convert_ids_to_tokens: Any  # of the vocabulary
    convert_tokens_to_ids: Any
    add_tokens: Any
    unk_token: str
    bos_token: str
    eos_token: str
    pad_token: str
    sep_token: str | None
    cls_token: str | None
    mask_token: str | None
    additional_special_tokens: list[str]
    unk_token_id: int
    bos_token_id: int
    eos_token_id: int
    pad_token_id: int
    sep_token_id: int | None
    cls_token_id: int | None
    mask_token_id: int | None
    additional_special_tokens_ids: list[int]

    def _name_special_tokens(self, values: Mapping[str, Any]) -> None:
        """values (Mapping[str, Any]): Arguments of the tokenizer; `extra_special_tokens` are further attributes.
        RAISES (ConfigError): One is not text.
        """
        extra = values.get("extra_special_tokens") or {}
        check("extra_special_tokens", extra, Check("tokens by name", lambda x: isinstance(x, Mapping)))
        self.SPECIAL_TOKENS_ATTRIBUTES = [*NAMES, *extra]
        self._special_tokens_map = {**dict.fromkeys(NAMES), ADDITIONAL: []}
        self._special_tokens_map.update(dict.fromkeys(extra))
        for name in NAMES:
            setattr(self, name, values.get(name))
        for name, token in extra.items():
            check(name, token, TOKEN)
            setattr(self, name, token)

    def __setattr__(self, name: str, value: Any) -> None:
        names = self.__dict__.get("_special_tokens_map", {})
        as_id = name.endswith(("_id", "_ids")) and name not in names
        token_name = name.rpartition("_")[0] if as_id else name
        if token_name not in names:
            return super().__setattr__(name, value)
        if as_id and value is not None:
            value = self.convert_ids_to_tokens(value)
        check(token_name, value, optional(list_of(TOKEN) if token_name == ADDITIONAL else TOKEN))
        names[token_name] = list(value or ()) if token_name == ADDITIONAL else value

    def __getattr__(self, name: str) -> Any:
        names = self.__dict__.get("_special_tokens_map", {})
        as_id = name.endswith(("_id", "_ids")) and name not in names
        token_name = name.rpartition("_")[0] if as_id else name
        if token_name not in names:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        value = names[token_name]
        text = [str(token) for token in value] if token_name == ADDITIONAL else value and str(value)
        return self.convert_tokens_to_ids(text) if as_id and text is not None else text

    @property
    def pad_token_type_id(self) -> int:
        """RETURNS (int): 0, the type of padding: BLOOM has no types of tokens."""
        return 0

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """RETURNS (dict[str, str | list[str]]): The control tokens that are set, by the name of their attribute."""
        found = {name: getattr(self, name) for name in self.SPECIAL_TOKENS_ATTRIBUTES}
        return {name: value for name, value in found.items() if value}

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): As `special_tokens_map`, with `AddedToken` where one was given or loaded."""
        found = {name: self._special_tokens_map[name] for name in self.SPECIAL_TOKENS_ATTRIBUTES}
        return {name: value for name, value in found.items() if value}

    @property
    def all_special_tokens_extended(self) -> list[str | AddedToken]:
        """RETURNS (list[str | AddedToken]): As `all_special_tokens`, with `AddedToken` where there was one."""
        found: dict[str, str | AddedToken] = {}
        for value in self.special_tokens_map_extended.values():
            for token in value if isinstance(value, list) else [value]:
                found.setdefault(str(token), token)
        return list(found.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """RETURNS (list[str]): The control tokens, each once."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """RETURNS (list[int]): The ids of the control tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, str | AddedToken | Sequence[str | AddedToken]],
        replace_additional_special_tokens: bool = True,
    ) -> int:
        """Name control tokens, and add those that are not in the vocabulary.

        special_tokens_dict (Mapping[str, Any]): Tokens by the name of their attribute.
        replace_additional_special_tokens (bool): False adds to `additional_special_tokens`. What it had stays in the
            vocabulary either way.
        RETURNS (int): Number of pieces added: the model's embeddings must grow by as many rows.
        RAISES (InputError): An unknown name, or a token that is none.
        """
        added: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name not in self.SPECIAL_TOKENS_ATTRIBUTES:
                known = ", ".join(self.SPECIAL_TOKENS_ATTRIBUTES)
                raise InputError(f"Expected the name of a control token, one of {known}; got {name!r}.")
            check(name, value, list_of(TOKEN) if name == ADDITIONAL else TOKEN, error=InputError)
            if name != ADDITIONAL:
                added.append(_as_added(value))
                setattr(self, name, added[-1])
                continue
            known = [] if replace_additional_special_tokens else self._special_tokens_map[ADDITIONAL]
            texts = {str(token) for token in known}
            new = [_as_added(token) for token in value if str(token) not in texts]
            if new or not replace_additional_special_tokens:
                setattr(self, ADDITIONAL, [*known, *new])
            added += new
        return self.add_tokens(added, special_tokens=True)

    def sanitize_special_tokens(self) -> int:
        """RETURNS (int): Number of control tokens that were named but not in the vocabulary, and now are."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)


def _as_added(token: str | AddedToken) -> AddedToken:
    return token if isinstance(token, AddedToken) else AddedToken(token, normalized=False, special=True)


def read_tokens(name: str, value: Any) -> Any:
    """RETURNS (Any): A field of a config, with `AddedToken` for the records that Hugging Face writes for tokens."""
    if isinstance(value, Mapping) and "content" in value and name.endswith(("_token", "_tokens")):
        options = {k: v for k, v in value.items() if k in ("lstrip", "rstrip", "normalized", "single_word")}
        check(name, value["content"], TOKEN)
        return AddedToken(value["content"], special=True, **{k: bool(v) for k, v in options.items()})
    if isinstance(value, (list, tuple)) and name.endswith("_tokens"):
        return [read_tokens(name, part) for part in value]
    if isinstance(value, Mapping) and name.endswith("_tokens"):
        return {k: read_tokens(f"{k}_token", v) for k, v in value.items()}
    return value


def plain_tokens(name: str, value: Any) -> Any:
    """RETURNS (Any): A field of the config with tokens as text, which Hugging Face reads everywhere, unlike records.
    How a token is found in text is written in `tokenizer.json`.
    """
    if isinstance(value, AddedToken):
        return value.content
    if isinstance(value, (list, tuple)) and name.endswith("_tokens"):
        return [plain_tokens(name, part) for part in value]
    if isinstance(value, Mapping) and name.endswith("_tokens"):
        return {k: plain_tokens(name, v) for k, v in value.items()}
    return value
