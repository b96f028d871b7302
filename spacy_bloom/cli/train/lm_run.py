"""A run of `train-lm`: its texts, tokenizer, model and trainer, new or resumed, in one process or on several ranks."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from wasabi import msg

from ...config import BloomConfig
from ...errors import CheckpointError, ConfigError, InputError
from ...generation.causal_lm import BloomForCausalLM
from ...generation.config import GenerationConfig
from ...parallel.ranks import from_first, rank
from ...pretraining.data import EncodedFile, TextFile, encode_file, read_text_file
from ...pretraining.engine import Engine
from ...pretraining.loop import LMTrainer
from ...pretraining.masking import Masking
from ...pretraining.state import Progress
from ...pretraining.tokenizer_training import train_tokenizer
from ...tokenizer import BloomTokenizerFast
from .lm_config import LMConfig
from .lm_models import DividedModel, OneModel

# Settings that older versions did not have, with the values that their runs had.
ADDED_SETTINGS = {"objective": "causal", "optimizer": "adamw", "bidirectional_layers": 0}


def find_texts(text: str | Sequence[str] | None) -> dict[str, Path]:
    """text (str | Sequence[str] | None): Directories with .txt files, files, or glob patterns.
    RETURNS (dict[str, Path]): Each file once, by its name without suffix, or by its path where names are ambiguous.
    RAISES (InputError): There is no file.
    """
    entries = [text] if isinstance(text, str) else list(text or [])
    if not entries:
        raise InputError(
            "No text to train on: give a directory with .txt files, a file or a pattern as --paths.text."
        )
    paths: list[Path] = []
    for entry in entries:
        files = _files(entry)
        if not files:
            raise InputError(
                f"No text files at {entry!r}: expected a directory of .txt files, a file or a pattern."
            )
        paths.extend(path for path in files if path not in paths)
    stems = [path.stem for path in paths]
    return {path.stem if stems.count(path.stem) == 1 else str(path): path for path in paths}


def _files(entry: str) -> list[Path]:
    path = Path(entry)
    if path.is_file():
        return [path]
    found = path.glob("*.txt") if path.is_dir() else map(Path, glob.glob(entry, recursive=True))
    return sorted(path for path in found if path.is_file())


def read_texts(config: LMConfig) -> list[TextFile]:
    """RETURNS (list[TextFile]): The lines of all files, to learn from and to evaluate on."""
    paths = find_texts(config.paths.text)
    texts = [read_text_file(path, name, config.data) for name, path in paths.items()]
    n_lines, n_held_back = sum(len(text.train) for text in texts), sum(len(text.held_back) for text in texts)
    msg.good(f"{len(texts)} text files: {n_lines:,} lines to learn from, {n_held_back:,} to evaluate on")
    return texts


def prepare(
    config: LMConfig,
    texts: Sequence[TextFile],
    output: Path,
    progress: Progress | None,
    models: OneModel | DividedModel,
) -> tuple[BloomTokenizerFast, BloomForCausalLM, Engine]:
    """The tokenizer is saved in the output directory, where a resumed run finds it.

    models (OneModel | DividedModel): Makes the model.
    RETURNS (tuple[BloomTokenizerFast, BloomForCausalLM, Engine]): Those of the run to resume or of the checkpoint to
        fine-tune, or new ones.
    """
    torch.manual_seed(config.training.seed)
    if progress is not None:
        geometry = BloomConfig.from_dict(progress.run["model"])
        _check_same_model(config, geometry)
        model, engine = models.to_resume(geometry)
        generation = progress.run.get("generation")
        model.generation_config = None if generation is None else GenerationConfig.from_dict(generation)
        return BloomTokenizerFast.from_pretrained(output / "tokenizer"), model, engine
    if config.paths.init_checkpoint is not None:
        name = config.paths.init_checkpoint
        tokenizer, (model, engine) = BloomTokenizerFast.from_pretrained(name), models.from_checkpoint(name)
        if engine.is_first:
            tokenizer.save_pretrained(output / "tokenizer")
    else:
        tokenizer = _new_tokenizer(config, texts, output)
        model, engine = models.new(_geometry(config, tokenizer))
    msg.good(f"Model of {model.num_parameters():,} parameters, {len(tokenizer):,} pieces")
    return tokenizer, model, engine


def _new_tokenizer(config: LMConfig, texts: Sequence[TextFile], output: Path) -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): Trained by the first rank and read by the others."""
    if rank() == 0:
        _train_tokenizer(config, texts).save_pretrained(output / "tokenizer")
    from_first(None)
    return BloomTokenizerFast.from_pretrained(output / "tokenizer")


def _train_tokenizer(config: LMConfig, texts: Sequence[TextFile]) -> BloomTokenizerFast:
    assert config.tokenizer is not None  # read_config requires it unless a checkpoint is fine-tuned
    msg.info("Training the tokenizer")
    trained = train_tokenizer([text.train for text in texts], config.tokenizer, seed=config.training.seed)
    tokenizer = BloomTokenizerFast(tokenizer_object=trained, padding_side="left")
    if len(tokenizer) < config.tokenizer.vocab_size:
        msg.warn(f"The text yields only {len(tokenizer):,} of {config.tokenizer.vocab_size:,} pieces")
    return tokenizer


def _geometry(config: LMConfig, tokenizer: BloomTokenizerFast) -> BloomConfig:
    assert config.model is not None  # as above
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return BloomConfig(vocab_size=len(tokenizer), **ids, **asdict(config.model))


def make_trainer(
    config: LMConfig,
    model: BloomForCausalLM,
    engine: Engine,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[TextFile],
    output: Path,
    progress: Progress | None,
) -> LMTrainer:
    """RETURNS (LMTrainer): Ready to train, with the state of the run to resume.
    RAISES (BloomError): The run to resume had other settings, or settings do not fit the model.
    """
    files = [encode_file(text, tokenizer, config.data) for text in texts]
    generation = model.own_generation_config
    run = {
        "model": model.config.to_diff_dict(),
        "generation": None if generation is None else generation.to_diff_dict(),
        **_fingerprint(config, files),
    }
    masking = _make_masking(config, tokenizer, model.config.n_layer)
    if progress is not None:
        _check_same_run(run, progress.run)
    trainer = LMTrainer(
        model, files, config.training, config.data, output, masking=masking, run=run, engine=engine
    )
    if progress is not None:
        trainer.resume()
        msg.good(f"Resumed after step {progress.step:,}, minute {progress.minutes:.1f}")
    return trainer


def _make_masking(config: LMConfig, tokenizer: BloomTokenizerFast, n_layer: int) -> Masking | None:
    if config.training.objective == "causal":
        return None
    if tokenizer.unk_token_id is None:
        raise InputError(
            'training.objective = "mntp" masks pieces with the unknown token, but the tokenizer has none. '
            'Use training.objective = "causal" or a checkpoint that has one.'
        )
    layers = config.training.bidirectional_layers or n_layer
    if layers > n_layer:
        raise ConfigError(
            f"training.bidirectional_layers is {layers}; the model has {n_layer} layers. Leave it out for all."
        )
    return Masking(tokenizer.unk_token_id, config.training.mask_rate, layers)


def _fingerprint(config: LMConfig, files: Sequence[EncodedFile]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): What must be the same when a run is resumed, as JSON."""
    n_pieces = {file.name: len(file.pieces) for file in files}
    training = config.training
    chosen = {name: getattr(training, name) for name in ADDED_SETTINGS}
    return {"data": asdict(config.data), "seed": training.seed, "pieces": n_pieces, **chosen}


def _check_same_model(config: LMConfig, model: BloomConfig) -> None:
    """RAISES (CheckpointError): [model] is not what it was when the run was started."""
    used = {} if config.model is None else asdict(config.model)
    for name, value in used.items():
        # a checkpoint that is fine-tuned has its own geometry
        if config.paths.init_checkpoint is None or name.endswith("_dropout"):
            _check_same(f"model.{name}", getattr(model, name), value)


def _check_same_run(now: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    named = {
        "data": "[data]",
        "seed": "training.seed",
        "pieces": "The text",
        **{name: f"training.{name}" for name in ADDED_SETTINGS},
    }
    before = {**ADDED_SETTINGS, **saved}
    for name, what in named.items():
        _check_same(what, before.get(name), now.get(name))


def _check_same(what: str, before: Any, now: Any) -> None:
    if now != before:
        raise CheckpointError(
            f"{what} is not what it was when the run was started: {before}, now {now}. Set it back, or start a new run "
            "in another directory."
        )
