"""What the directory of a checkpoint holds."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import BloomConfig
from ..errors import BloomWarning, CheckpointError, ConfigError
from ..files import read_json
from ..settings import is_int, shown
from .files import (
    ADAPTER_ADVICE,
    ADAPTER_CONFIG,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS,
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    CHAT_TEMPLATE_FOLDER,
    CONFIG_FILE,
    GENERATION_FILE,
    MIX_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    WeightFiles,
    weight_files,
)
from .quantized import quantization_method
from .sources import find_checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in the Hugging Face layout, and what a pipeline keeps beside it. A part is read when it is first
    asked for, and once.

    path (Path): The directory.
    RAISES (ConfigError): From a part whose file is missing or not what it should be.
    RAISES (CheckpointError): From weights and adapters, likewise.
    """

    path: Path

    @classmethod
    def find(cls, name: str | os.PathLike, **options: Any) -> "Checkpoint":
        """RETURNS (Checkpoint): What `find_checkpoint` finds, with its options."""
        return cls(find_checkpoint(name, **options))

    @cached_property
    def config(self) -> BloomConfig:
        """RETURNS (BloomConfig): The geometry."""
        return BloomConfig.from_json_file(self.path / CONFIG_FILE)

    @cached_property
    def quantization(self) -> str | None:
        """RETURNS (str | None): How the weights are quantised; None if they are not."""
        return quantization_method(self.config)

    @cached_property
    def tokenizer(self) -> tuple[bytes, dict[str, Any]]:
        """RETURNS (tuple[bytes, dict[str, Any]]): Content of `tokenizer.json`; options from the files beside it."""
        file = self.path / TOKENIZER_FILE
        if not file.is_file():
            raise ConfigError(
                f"No {TOKENIZER_FILE} in {self.path}. Expected a checkpoint in the Hugging Face layout."
            )
        config, special = self._object(TOKENIZER_CONFIG_FILE), self._object(SPECIAL_TOKENS_FILE)
        # As in Hugging Face: the file of control tokens is for configs that do not know the added ones.
        options = config if "added_tokens_decoder" in config else {**config, **special}
        old = self._old_added_tokens(options)
        options = {"added_tokens_decoder": old, **options} if old else options
        templates = self._chat_templates()
        if templates:
            options["chat_template"] = templates["default"] if list(templates) == ["default"] else templates
        return file.read_bytes(), options

    def _old_added_tokens(self, options: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """RETURNS (dict[int, dict[str, Any]]): Content of `added_tokens.json` as configs have it now."""
        values = [v for value in options.values() for v in (value if isinstance(value, list) else [value])]
        control = [value.get("content") if isinstance(value, dict) else value for value in values]
        added = self._object(ADDED_TOKENS_FILE)
        if not all(is_int(i) for i in added.values()):
            raise ConfigError(
                f"Expected {self.path / ADDED_TOKENS_FILE} to hold ids by token, got {shown(added)}."
            )
        return {
            i: {"content": text, "special": text in control, "normalized": text not in control}
            for text, i in added.items()
        }

    def _chat_templates(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): Chat templates in files of their own, by name."""
        files = {"default": self.path / CHAT_TEMPLATE_FILE}
        files |= {file.stem: file for file in sorted((self.path / CHAT_TEMPLATE_FOLDER).glob("*.jinja"))}
        try:
            return {name: file.read_text(encoding="utf8") for name, file in files.items() if file.is_file()}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"A chat template of {self.path} cannot be read: {error}.") from None

    @cached_property
    def generation(self) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): Content of `generation_config.json`, if there is one."""
        return self._object(GENERATION_FILE) if (self.path / GENERATION_FILE).is_file() else None

    @cached_property
    def weight_files(self) -> list[Path]:
        """RETURNS (list[Path]): The files of the weights."""
        return weight_files(self.path)

    @cached_property
    def weights(self) -> WeightFiles:
        """RETURNS (WeightFiles): The weights, mapped."""
        return WeightFiles(self.path, files=self.weight_files)

    @cached_property
    def adapter_folder(self) -> Path | None:
        """RETURNS (Path | None): Where adapters are. RAISES (CheckpointError): There are two."""
        places = (self.path / ADAPTER_FOLDER, self.path)
        folders = [folder for folder in places if (folder / ADAPTER_CONFIG).is_file()]
        if len(folders) > 1:
            raise CheckpointError(
                f"Got adapters in {folders[0]} and in {folders[1]}. Remove those not to be used."
            )
        return folders[0] if folders else None

    @cached_property
    def adapter(self) -> tuple[Any, WeightFiles] | None:
        """RETURNS (tuple[Any, WeightFiles] | None): Adapters: the content of their config, and their weights."""
        folder = self.adapter_folder
        if folder is None:
            return None
        try:
            settings = read_json(folder / ADAPTER_CONFIG)
        except ConfigError as error:
            raise CheckpointError(f"Expected the settings of adapters: {error}") from error
        files = [folder / name for name in ADAPTER_WEIGHTS if (folder / name).is_file()]
        if not files:
            raise CheckpointError(f"Expected adapters in {folder / ADAPTER_WEIGHTS[0]}, got no such file.")
        return settings, WeightFiles(folder, files=files[:1])

    @cached_property
    def layer_mix(self) -> bytes | None:
        """RETURNS (bytes | None): The mixture of the layers, if a pipeline was trained with one."""
        file = self.path / MIX_FILE
        return file.read_bytes() if file.is_file() else None

    def _object(self, name: str) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): Content of a JSON file; empty without one."""
        file = self.path / name
        values = read_json(file) if file.is_file() else {}
        if not isinstance(values, dict):
            raise ConfigError(f"Expected {file} to hold a JSON object, got {type(values).__name__}.")
        return values

    def warn_of_adapter(self) -> None:
        """Warn about adapters, for whoever loads the weights without them."""
        if self.adapter_folder is not None:
            warnings.warn(
                f"The adapters in {self.adapter_folder} are not read: the model is loaded without them. To use "
                "adapters of a pipeline here, save the pipeline with lora.merge = true. "
                f"{ADAPTER_ADVICE}",
                BloomWarning,
                stacklevel=3,
            )
