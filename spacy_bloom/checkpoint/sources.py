"""Finding the directory of a checkpoint: bundled, local, or from the Hugging Face Hub."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, InputError
from ..settings import shown
from .files import (
    ADAPTER_ADVICE,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BIN,
    BIN_INDEX,
    CHAT_TEMPLATE_FILE,
    CHAT_TEMPLATE_FOLDER,
    CONFIG_FILE,
    GENERATION_FILE,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    variant_name,
)

logger = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent.parent / "assets"
BUNDLED_NAMES = ("tiny-bloom",)
BUNDLED_PIPELINES = ("xx_bloom_tiny_demo", "xx_bloom_tiny_qa")
# Nothing else is ever downloaded: no code, no other formats.
SMALL_FILES = [
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    f"{CHAT_TEMPLATE_FOLDER}/*.jinja",
]
SAFETENSORS_FILES = [SAFETENSORS, SAFETENSORS_INDEX, "model-*-of-*.safetensors", "model_*-of-*.safetensors"]
BIN_FILES = [BIN, BIN_INDEX, "pytorch_model-*-of-*.bin", "pytorch_model_*-of-*.bin"]
ADAPTER_FILES = [ADAPTER_CONFIG, *ADAPTER_WEIGHTS]


def find_checkpoint(
    name: str | os.PathLike,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    weights: bool = True,
    subfolder: str = "",
    variant: str | None = None,
    **download: Any,
) -> Path:
    """Find a checkpoint. What is neither bundled nor a directory is downloaded from the Hub and cached.

    name (str | PathLike): A bundled name ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    revision (str | None): Branch, tag or commit on the Hub.
    local_files_only (bool): Use the cache and make no network call, like HF_HUB_OFFLINE=1.
    weights (bool): Whether to download the weights too.
    subfolder (str): The checkpoint's folder inside.
    variant (str | None): Of the weights' files, for example "fp16" of `model.fp16.safetensors`.
    **download: For the Hub: cache_dir, token, force_download.
    RETURNS (Path): The directory.
    RAISES (CheckpointError): No such checkpoint; the error lists where it was looked for.
    """
    # Bundled names come first, to mean the same in every working directory ("./tiny-bloom" is a folder).
    if str(name) in BUNDLED_NAMES:
        return BUNDLED / str(name)
    path = Path(name)
    if str(name) and path.is_dir():
        return _expect_more_than_adapter(path / subfolder)
    if path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1:
        raise CheckpointError(
            f"No directory {str(name)!r}. Expected a checkpoint in the Hugging Face layout there."
        )
    options = {"revision": revision, "local_files_only": local_files_only, **download}
    return _expect_more_than_adapter(_fetch(str(name), weights, subfolder, variant, options))


def _expect_more_than_adapter(path: Path) -> Path:
    """RETURNS (Path): The path. RAISES (CheckpointError): It has peft's adapters without their checkpoint."""
    if (path / ADAPTER_CONFIG).is_file() and not (path / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"Expected a checkpoint in {path}, got an adapter of peft without the model that it was trained on. Load "
            "the model, and give it this directory by `load_adapter`. To use plain LoRA in a pipeline, "
            "copy its files into a folder `adapter` of the model's directory, and name that directory. "
            f"{ADAPTER_ADVICE}"
        )
    return path


def bundled_names() -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): Names of the bundled checkpoints and pipelines, as `bundled_path` takes them."""
    return (*BUNDLED_NAMES, *BUNDLED_PIPELINES)


def bundled_path(name: str) -> Path:
    """RETURNS (Path): Directory of a bundled checkpoint or pipeline.
    RAISES (InputError): There is none of this name; the error lists the names, as `bundled_names` does.
    """
    if name not in bundled_names():
        raise InputError(
            f"Expected the name of what is bundled, one of {', '.join(bundled_names())}; got {shown(name)}."
        )
    return BUNDLED / name


def _fetch(name: str, weights: bool, subfolder: str, variant: str | None, options: Mapping[str, Any]) -> Path:
    # Imported here, so that pipelines with local checkpoints load no network client.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def download(patterns: list[str]) -> Path:
        wanted = [f"{subfolder}/{pattern}" if subfolder else pattern for pattern in patterns]
        logger.info("Asking the Hub, or its cache here, for %s of %s", ", ".join(wanted), name)
        return Path(snapshot_download(name, allow_patterns=wanted, **options)) / subfolder

    safetensors, bins = (
        [variant_name(f, variant) for f in files] for files in (SAFETENSORS_FILES, BIN_FILES)
    )

    try:
        path = download(SMALL_FILES + (safetensors + ADAPTER_FILES if weights else ADAPTER_FILES[:1]))
        if weights and not any((path / file).exists() for file in safetensors[:2]):
            path = download(SMALL_FILES + bins)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        # Where the Hub has answered, its client still advises to check the internet connection.
        answer = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
        where = "in the local cache" if isinstance(answer, LocalEntryNotFoundError) else "on the Hub"
        revision = options.get("revision")
        at = "" if revision is None else f" at revision {revision!r}"
        reason = " ".join(str(answer).split())[:300] or type(answer).__name__
        raise CheckpointError(
            f"No checkpoint {name!r}: it is not bundled ({', '.join(BUNDLED_NAMES)}), not a directory here, "
            f"and was not found {where}{at}: {reason}"
        ) from error
    return path
