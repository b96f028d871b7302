"""Reading, writing and changing configs as with Hugging Face's `PretrainedConfig`."""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import Self

from ..errors import BloomWarning, ConfigError, InputError
from ..files import read_json, to_json, write_file
from ..settings import shown

CONFIG_FILE = "config.json"
# Of downloads and of loading: they say where from, not what.
_WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision")
_WITHOUT_EFFECT = (
    "proxies",
    "resume_download",
    "_from_auto",
    "_from_pipeline",
    "_commit_hash",
    "use_auth_token",
)
_TRUE, _FALSE = ("true", "1", "y", "yes"), ("false", "0", "n", "no")


class ConfigFiles:
    """What `BloomConfig` does by the names of Hugging Face's configs.

    SOURCE: transformers' PretrainedConfig.
    """

    model_type = "bloom"
    attribute_map: ClassVar[dict[str, str]] = {
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {}
    has_no_defaults_at_init = False
    base_config_key = ""
    base_model_tp_plan = base_model_pp_plan = None
    # From a name to a directory; checkpoint/, which knows the Hub, is above this room and sets it.
    find: Callable[..., Path] | None = None

    def to_dict(self) -> dict[str, Any]:
        """See BloomConfig."""
        raise NotImplementedError

    def to_diff_dict(self) -> dict[str, Any]:
        """See BloomConfig."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **options: Any) -> Any:
        """Read the config of a checkpoint.

        pretrained_model_name_or_path (str | PathLike): As for models; or a JSON file.
        **options: Where from: cache_dir, force_download, local_files_only, token, revision, subfolder. Fields to
            change. With return_unused_kwargs=True, others are returned; else they have no effect, with a warning.
        RETURNS (BloomConfig | tuple[BloomConfig, dict]): The config; and the options that were not used, if asked for.
        RAISES (CheckpointError, ConfigError): No such checkpoint; a damaged config.
        """
        values, options = cls.get_config_dict(pretrained_model_name_or_path, **options)
        config, unused = cls.from_dict(values, **{**options, "return_unused_kwargs": True})
        if options.get("return_unused_kwargs"):
            return config, unused
        if unused:
            warnings.warn(
                f"BloomConfig has no fields {', '.join(sorted(unused))}: they have no effect.",
                BloomWarning,
                stacklevel=2,
            )
        return config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """RETURNS (tuple[dict, dict]): The content of a checkpoint's `config.json`, and the options that do not say
        where it is from.
        """
        where = {name: options.pop(name) for name in _WHERE if options.get(name)}
        for name in (*_WHERE, *_WITHOUT_EFFECT):
            options.pop(name, None)
        if options.pop("trust_remote_code", False):
            raise InputError("Expected trust_remote_code to be False: no code of a checkpoint is ever run.")
        if options.get("gguf_file"):
            raise InputError("Expected no gguf_file: configs are read from config.json.")
        folder = options.pop("subfolder", "")
        path = Path(pretrained_model_name_or_path)
        if not path.is_file():
            if cls.find is None:
                path = path / folder / CONFIG_FILE
            else:
                path = cls.find(pretrained_model_name_or_path, weights=False, **where) / folder / CONFIG_FILE
        values = read_json(path)
        if not isinstance(values, dict):
            raise ConfigError(
                f"Expected the fields of a BLOOM config in {path}, got {type(values).__name__}."
            )
        return values, options

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **changes: Any) -> Any:
        """config_dict (Mapping[str, Any]): The content of a `config.json`.
        **changes: Fields to change; names that are none are not used. With return_unused_kwargs=True, these are
            returned too.
        RETURNS (BloomConfig): The config.
        RAISES (ConfigError): As the constructor, and when `model_type` is another model's.
        """
        wants_unused = changes.pop("return_unused_kwargs", False)
        config = cls(**_checked_names(config_dict, cls.model_type))
        own = {name: value for name, value in changes.items() if hasattr(config, name)}
        config.update(own)
        unused = {name: value for name, value in changes.items() if name not in own}
        return (config, unused) if wants_unused else config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike) -> Self:
        """RETURNS (BloomConfig): The config in a `config.json`.
        RAISES (ConfigError): The file is missing, not JSON, or not a valid config.
        """
        return cls.from_dict(read_json(Path(json_file)))

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, **options: Any
    ) -> None:
        """Write `config.json` into a directory, which is made if it does not exist.

        RAISES (InputError): push_to_hub, which is for huggingface_hub's own functions; or the path of a file.
        """
        if push_to_hub:
            raise InputError(
                "Expected push_to_hub to be False: save to a directory, and upload that with huggingface_hub's "
                "`upload_folder`."
            )
        path = Path(save_directory)
        if path.is_file():
            raise InputError(f"Expected a directory, got the file {path}.")
        path.mkdir(parents=True, exist_ok=True)
        self.to_json_file(path / CONFIG_FILE)

    def to_json_string(self, use_diff: bool = True) -> str:
        """use_diff (bool): Without the general fields that have their defaults.
        RETURNS (str): JSON with sorted keys, so that equal configs are equal bytes.
        """
        return to_json(self.to_diff_dict() if use_diff else self.to_dict())

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = True) -> None:
        """Write `to_json_string` to a file."""
        write_file(Path(json_file_path), self.to_json_string(use_diff))

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set several fields. What must fit together is checked when all are set.

        RAISES (ConfigError): Values that do not fit; none is set then.
        """
        raise NotImplementedError

    def update_from_string(self, update_str: str) -> None:
        """Set fields from text like "n_layer=10,hidden_dropout=0.2,use_cache=false".

        RAISES (ConfigError): A name that is no field, or a value of another kind.
        """
        changes = {}
        for part in update_str.split(","):
            name, _, text = part.partition("=")
            if not hasattr(self, name):
                raise ConfigError(f"Expected fields of the config as name=value, got {shown(part)}.")
            changes[name] = _parsed(name, getattr(self, name), text)
        self.update(changes)

    def get_text_config(self, decoder: bool = False) -> Self:
        """RETURNS (BloomConfig): This config, as BLOOM reads nothing but text."""
        return self

    def dict_torch_dtype_to_str(self, d: dict[str, Any]) -> None:
        """Replace torch's dtype in a dict, and in dicts inside it, by its name."""
        if d.get("torch_dtype") is not None:
            d["torch_dtype"] = str(d["torch_dtype"]).removeprefix("torch.")
        for value in d.values():
            if isinstance(value, dict):
                self.dict_torch_dtype_to_str(value)


def _checked_names(values: Any, model_type: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"Expected the fields of a BLOOM config, got {type(values).__name__}.")
    strange = [name for name in values if not isinstance(name, str)]
    if strange:
        raise ConfigError(f"Expected the names of a BLOOM config's fields as text, got {shown(strange)}.")
    values = dict(values)
    found = values.pop("model_type", model_type)
    if found != model_type:
        raise ConfigError(
            f"Expected a config with model_type {model_type!r}, got {shown(found)}. "
            "Only BLOOM checkpoints can be loaded."
        )
    return values


def _parsed(name: str, old: Any, text: str) -> Any:
    if isinstance(old, bool):
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
    elif isinstance(old, (int, float)):
        try:
            return type(old)(text)
        except ValueError:
            pass
    elif isinstance(old, str):
        return text
    raise ConfigError(f"Expected {name} as text for a {type(old).__name__}, got {shown(text)}.")
