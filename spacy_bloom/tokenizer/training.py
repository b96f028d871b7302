"""Training a tokenizer like another one on new texts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers
from typing_extensions import Self

from ..errors import ConfigError
from .special_tokens import ADDITIONAL, NAMES
from .tokenizer_config import TokenizerConfig


class Training(TokenizerConfig):
    """Trains further tokenizers of its own kind."""

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str | Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[str | AddedToken] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """Train a tokenizer that cuts texts by the same rules into pieces of its own.

        text_iterator (Iterable[str | Sequence[str]]): Texts, or batches of texts.
        vocab_size (int): Number of its pieces.
        length (int | None): Number of texts, for the progress bar.
        new_special_tokens (Sequence[str | AddedToken] | None): Further control tokens.
        special_tokens_map (Mapping[str, str] | None): New names for control tokens.
        **options: Of `tokenizers.trainers.BpeTrainer`.
        RETURNS (BloomTokenizerFast): The new tokenizer.
        RAISES (ConfigError): This tokenizer is no BPE, as BLOOM's are.
        """
        renamed = dict(special_tokens_map or {})
        new = list(new_special_tokens or ())
        state = json.loads(self._tokenizer.to_str())
        if state["model"]["type"] != "BPE":
            raise ConfigError(f"Expected a tokenizer of the kind BPE, got {state['model']['type']}.")
        added, post_processor = state.pop("added_tokens"), state.pop("post_processor")
        state["truncation"] = state["padding"] = None
        state["model"] |= {"vocab": {}, "merges": []}
        unknown = state["model"].get("unk_token")
        state["model"]["unk_token"] = renamed.get(unknown, unknown)
        trained = Tokenizer.from_str(json.dumps(state))
        for name in ("continuing_subword_prefix", "end_of_word_suffix"):
            if state["model"][name] is not None:
                options.setdefault(name, state["model"][name])
        if _is_byte_level(state["pre_tokenizer"]):
            options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
        special = [_renamed(token, renamed) for token in added if token["special"]]
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[*special, *new], **options)
        trained.train_from_iterator(text_iterator, length=length, trainer=trainer)
        if post_processor is not None:
            trained = _with_post_processor(trained, post_processor, renamed)
        return type(self)(tokenizer_object=trained, **self._options_of_new(renamed, new))  # type: ignore[call-arg]

    def _options_of_new(self, renamed: Mapping[str, str], new: list[str | AddedToken]) -> dict[str, Any]:
        options = self._options()
        for name in NAMES:
            value = self._special_tokens_map[name]
            if name == ADDITIONAL:
                options[name] = [*getattr(self, name), *new]
            elif isinstance(value, AddedToken):
                options[name] = _renamed(value.__getstate__(), renamed)
            elif value is not None:
                options[name] = renamed.get(value, value)
        return options


def _renamed(token: Mapping[str, Any], renamed: Mapping[str, str]) -> AddedToken:
    content = renamed.get(token["content"], token["content"])
    how = {name: token[name] for name in ("single_word", "lstrip", "rstrip", "normalized")}
    return AddedToken(content, special=True, **how)


def _is_byte_level(pre_tokenizer: Any) -> bool:
    parts = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return any(part["type"] == "ByteLevel" for part in parts)


def _with_post_processor(
    trained: Tokenizer, post_processor: dict[str, Any], renamed: Mapping[str, str]
) -> Tokenizer:
    """RETURNS (Tokenizer): With the tokens that the old one adds, under their new ids."""

    def find(token: str) -> int:
        found = trained.token_to_id(token)
        if found is None:
            raise ConfigError(f"The post-processor adds {token!r}, which the new tokenizer does not have.")
        return found

    for special in (post_processor.get("special_tokens") or {}).values():
        special["tokens"] = [renamed.get(token, token) for token in special["tokens"]]
        special["ids"] = [find(token) for token in special["tokens"]]
    for name in ("cls", "sep"):
        if name in post_processor:
            token = renamed.get(post_processor[name][0], post_processor[name][0])
            post_processor[name] = [token, find(token)]
    state = json.loads(trained.to_str())
    state["post_processor"] = post_processor
    return Tokenizer.from_str(json.dumps(state))
