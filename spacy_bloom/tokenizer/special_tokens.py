"""The control tokens of a tokenizer."""

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ..settings import Check, check, list_of, optional

# In the order of their ids in BLOOM, 0 to 3.
SPECIAL_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
# Control tokens that BLOOM does not have and its descendants may.
MORE_SPECIAL_TOKENS = ("sep_token", "cls_token", "mask_token")
ADDITIONAL = "additional_special_tokens"
TOKEN = Check(
    "a control token as text or as a record with 'content'", lambda x: isinstance(x, str) and x != ""
)


class SpecialTokens:
    """The control tokens as attributes, and their ids.

    backend_tokenizer (Tokenizer): Has all of them, from the start or because they were added.
    init_kwargs (dict[str, Any]): Names them.
    """

    backend_tokenizer: Tokenizer
    init_kwargs: dict[str, Any]
    unk_token: str
    bos_token: str
    eos_token: str
    pad_token: str
    sep_token: str | None
    cls_token: str | None
    mask_token: str | None
    additional_special_tokens: list[str]

    def _set_special_tokens(self) -> None:
        """Set the attributes, and add tokens that are not there.

        RAISES (ConfigError): One is not text.
        """
        for name in SPECIAL_TOKENS:
            check(name, self.init_kwargs[name], TOKEN)
            setattr(self, name, self.init_kwargs[name])
        for name in MORE_SPECIAL_TOKENS:
            check(name, self.init_kwargs.get(name), optional(TOKEN))
            setattr(self, name, self.init_kwargs.get(name))
        check(ADDITIONAL, self.init_kwargs.get(ADDITIONAL), optional(list_of(TOKEN)))
        self.additional_special_tokens = list(self.init_kwargs.get(ADDITIONAL) or ())
        missing = [
            token for token in self.all_special_tokens if self.backend_tokenizer.token_to_id(token) is None
        ]
        if missing:
            self.backend_tokenizer.add_special_tokens(
                [AddedToken(t, special=True, normalized=False) for t in missing]
            )

    @property
    def all_special_tokens(self) -> list[str]:
        """RETURNS (list[str]): The control tokens, each once."""
        more = [getattr(self, name) for name in MORE_SPECIAL_TOKENS if getattr(self, name) is not None]
        own = [getattr(self, name) for name in SPECIAL_TOKENS]
        return list(dict.fromkeys([*own, *more, *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """RETURNS (list[int]): The ids of the control tokens."""
        return [self._id(token) for token in self.all_special_tokens]

    @property
    def unk_token_id(self) -> int:
        """RETURNS (int): The id of `<unk>`."""
        return self._id(self.unk_token)

    @property
    def bos_token_id(self) -> int:
        """RETURNS (int): The id of `<s>`."""
        return self._id(self.bos_token)

    @property
    def eos_token_id(self) -> int:
        """RETURNS (int): The id of `</s>`."""
        return self._id(self.eos_token)

    @property
    def pad_token_id(self) -> int:
        """RETURNS (int): The id of `<pad>`."""
        return self._id(self.pad_token)

    def _id(self, token: str) -> int:
        piece_id = self.backend_tokenizer.token_to_id(token)
        assert piece_id is not None, token  # __init__ added what was missing
        return piece_id


def plain_tokens(name: str, value: Any) -> Any:
    """RETURNS (Any): A field of the config with tokens as text, which Hugging Face reads everywhere, unlike records."""
    if not name.endswith(("_token", "_tokens")):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_tokens(name, part) for part in value]
    if isinstance(value, Mapping):
        return (
            value["content"] if "content" in value else {k: plain_tokens(name, v) for k, v in value.items()}
        )
    return value
