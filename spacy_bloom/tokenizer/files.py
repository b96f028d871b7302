"""Loading and saving a tokenizer: Hugging Face's three files."""

import os
import warnings
from pathlib import Path
from typing import Any

from typing_extensions import Self

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import (
    CHAT_TEMPLATE_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
)
from ..errors import BloomWarning, ConfigError, InputError
from ..files import found_instead, replacing_together, to_json, write_text
from .chat_text import templates_as_list
from .encoder import Encoder
from .special_tokens import NAMES

CLASSES = ("BloomTokenizer", "BloomTokenizerFast")
# Options of Hugging Face's loading that have no effect here; downloads are always resumed.
WITHOUT_EFFECT = ("resume_download", "use_fast", "_from_auto", "_commit_hash", "legacy")
# Arguments that no file has a say in: where the tokenizer itself is from.
NOT_FROM_FILES = ("self", "tokenizer_buffer", "tokenizer_file", "tokenizer_object")


class Files(Encoder):
    """A tokenizer's files."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        subfolder: str = "",
        **config: Any,
    ) -> Self:
        """Load a checkpoint's tokenizer.

        pretrained_model_name_or_path (str | PathLike): Bundled name, directory in the Hugging Face layout, Hub name,
            or a tokenizer.json.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        subfolder (str): The checkpoint's folder inside.
        cache_dir, force_download, token, proxies: As huggingface_hub takes them.
        **config: Override what the checkpoint says, for example `add_prefix_space=True`.
        RETURNS (BloomTokenizerFast): The tokenizer.
        RAISES (CheckpointError, ConfigError): No such checkpoint, or a damaged one.
        RAISES (InputError): trust_remote_code, from_slow or gguf_file: no code is run, and only tokenizer.json is read.
        """
        name = pretrained_model_name_or_path
        for option in ("from_slow", "gguf_file"):
            if config.pop(option, None):
                raise InputError(
                    f"Got {option}. Only a tokenizer.json is read: convert it with transformers first."
                )
        if config.pop("trust_remote_code", False):
            raise InputError("Expected trust_remote_code to be False: no code of a checkpoint is ever run.")
        config = {option: value for option, value in config.items() if option not in WITHOUT_EFFECT}
        named = {"name_or_path": str(name)}
        if str(name).endswith(".json") and Path(name).is_file():
            return cls(tokenizer_file=name, **{**config, **named})  # type: ignore[call-arg]
        asked = ("cache_dir", "force_download", "token", "proxies")
        download = {option: config.pop(option) for option in asked if option in config}
        download = {option: value for option, value in download.items() if value}
        options = {
            "revision": revision,
            "local_files_only": local_files_only,
            "subfolder": subfolder,
            **download,
        }
        return cls.from_checkpoint(Checkpoint.find(name, weights=False, **options), **{**config, **named})

    @classmethod
    def from_directory(cls, path: str | os.PathLike, **config: Any) -> Self:
        """Read `tokenizer.json` and, where they exist, `tokenizer_config.json`, `special_tokens_map.json` and chat
        templates.

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
        _warn_of_class(checkpoint.path, from_files.get("tokenizer_class"))
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
        config = {name: value for name, value in config.items() if name not in NOT_FROM_FILES}
        try:
            made = cls(tokenizer_buffer=tokenizer_json, **config)  # type: ignore[call-arg]
        except UnicodeEncodeError as error:
            raise ConfigError(f"Expected tokens of whole Unicode characters: {error}.") from None
        made._take_added_tokens()
        return made

    def _take_added_tokens(self) -> None:
        """Name control tokens as they were added, with the spaces that they take, where they were named as text."""
        added = {token.content: token for token in self._tokenizer.get_added_tokens_decoder().values()}
        for name in NAMES:
            value = self._special_tokens_map[name]
            if isinstance(value, str):
                setattr(self, name, added.get(value, value))

    def to_strings(self) -> tuple[bytes, dict[str, Any]]:
        """RETURNS (tuple[bytes, dict[str, Any]]): What `from_strings` reads: tokenizer.json, the options."""
        with self._lock:
            self._reset()
            content = self._tokenizer.to_str().encode("utf8")
        return content, self._options()

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        *,
        save_jinja_files: bool = True,
    ) -> tuple[str, ...]:
        """Write the files that `from_pretrained` and Hugging Face read.

        save_directory (str | PathLike): Directory, made if it does not exist.
        filename_prefix (str | None): Beginning of the files' names, followed by "-".
        save_jinja_files (bool): Write a chat template as a file of its own. Several are always written into the
            config: their names are data, and name no files.
        RETURNS (tuple[str, ...]): The files.
        RAISES (InputError): legacy_format (there is none of BLOOM's tokenizer) or push_to_hub.
        """
        if legacy_format or push_to_hub:
            what = "legacy_format" if legacy_format else "push_to_hub"
            advice = "there is no older format" if legacy_format else "upload the files with huggingface_hub"
            raise InputError(f"Got {what}=True: {advice}. Leave it out.")
        path = Path(save_directory)
        path.mkdir(parents=True, exist_ok=True)
        tokenizer_json, config = self.to_strings()
        template = config.pop("chat_template", None)
        names = self.SPECIAL_TOKENS_ATTRIBUTES
        special = {name: config[name] for name in names if config.get(name)}
        config["tokenizer_class"] = "BloomTokenizerFast"
        texts: dict[str, str | bytes] = {
            TOKENIZER_FILE: tokenizer_json,
            SPECIAL_TOKENS_FILE: to_json(special),
        }
        if isinstance(template, str) and save_jinja_files:
            texts[CHAT_TEMPLATE_FILE] = template
        elif template is not None:
            config["chat_template"] = template if isinstance(template, str) else templates_as_list(template)
        texts[TOKENIZER_CONFIG_FILE] = to_json(config)
        return _write(path, f"{filename_prefix}-" if filename_prefix else "", texts)

    def save_vocabulary(
        self, save_directory: str | os.PathLike, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write `vocab.json` and `merges.txt`, without added tokens and settings.

        RETURNS (tuple[str, ...]): The files.
        """
        return tuple(self._tokenizer.model.save(os.fspath(save_directory), filename_prefix))


def _write(path: Path, prefix: str, texts: dict[str, str | bytes]) -> tuple[str, ...]:
    if CHAT_TEMPLATE_FILE not in texts:
        (path / f"{prefix}{CHAT_TEMPLATE_FILE}").unlink(
            missing_ok=True
        )  # in the config, or another tokenizer's
    with replacing_together(path) as create:
        for name, text in texts.items():
            file = create(prefix + name)
            if isinstance(text, bytes):
                file.write_bytes(text)
            else:
                write_text(file, text)
    return tuple(str(path / (prefix + name)) for name in texts)


def _warn_of_class(path: Path, name: Any) -> None:
    if isinstance(name, str) and name not in CLASSES:
        warnings.warn(
            f"Expected the tokenizer of a BLOOM checkpoint in {path}, got one of the class {name}: texts may be cut in "
            "other ways than there.",
            BloomWarning,
            stacklevel=4,
        )
