"""`python -m spacy bloom train-lm`: train a BLOOM language model on text files, or fine-tune one."""

import glob
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from spacy.cli._util import Arg, Opt, parse_config_overrides, show_validation_error
from spacy.util import load_config
from typer import Context
from wasabi import msg

from ..config import BloomConfig
from ..errors import CheckpointError, ConfigError, InputError
from ..generation.config import GenerationConfig
from ..pretrained import BloomForCausalLM, BloomTokenizerFast
from ..pretraining.data import EncodedFile, TextFile, encode_file, read_text_file
from ..pretraining.loop import LMTrainer
from ..pretraining.masking import Masking
from ..pretraining.state import Progress, read_progress, state_path
from ..pretraining.tokenizer_training import train_tokenizer
from .train.lm_config import LMConfig, read_config
from .train.lm_display import LMDisplay

COMMAND = "python -m spacy bloom train-lm"
# What runs of earlier versions had no choice of.
NOT_NAMED_BEFORE = {"objective": "causal", "optimizer": "adamw", "bidirectional_layers": 0}


def train_lm_cli(
    # fmt: off
    ctx: Context,  # only to read the overrides
    config_path: Path = Arg(..., help="Path to config file", exists=True, dir_okay=False, allow_dash=True),
    output_path: Path = Arg(..., help="Directory for checkpoints, state and history", file_okay=False),
    resume: bool = Opt(False, "--resume", "-R", help="Go on from the state in the output directory"),
    use_gpu: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    # fmt: on
) -> None:
    """
    Train a BLOOM causal language model on text files: UTF-8, one sentence or
    paragraph per line, one file per language. With paths.init_checkpoint in
    the config, an existing checkpoint is fine-tuned on the text.

    With training.objective "mntp" a causal checkpoint learns to use what
    follows a piece too, for transformers with attention = "bidirectional".

    All settings of the config can be overridden as options, for instance
    --paths.text DIR --training.max_steps 100. The output directory gets the
    checkpoints model-best and model-last, the evaluations in history.jsonl,
    and the state from which --resume continues exactly after an interruption.
    """
    arguments = list(ctx.args)
    overrides = parse_config_overrides(ctx.args)
    if not train_lm(config_path, output_path, overrides=overrides, resume=resume, use_gpu=use_gpu):
        options = ["--gpu-id", str(use_gpu)] if use_gpu >= 0 else []
        again = shlex.join([str(config_path), str(output_path), "--resume", *options, *arguments])
        msg.info("Training was interrupted and its state saved. To continue:")
        print(f"{COMMAND} {again}")  # not by wasabi, which would break the line
        sys.exit(130)  # as shells report an interruption


def train_lm(
    config_path: Path,
    output: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    use_gpu: int = -1,
) -> bool:
    """Train as the config says.

    config_path (Path): The config, or "-" for the standard input.
    output (Path): Directory for checkpoints, state and history.
    overrides (Mapping[str, Any] | None): Values of the config by dotted name.
    resume (bool): Go on from the state in the output directory.
    use_gpu (int): Number of the GPU, -1 for the CPU.
    RETURNS (bool): False if training was interrupted; its state is saved.
    RAISES (BloomError): Bad input.
    """
    with show_validation_error(config_path, hint_fill=False):
        config = read_config(load_config(config_path, dict(overrides or {}), interpolate=True))
    progress = _find_progress(output, resume)
    texts = _read_texts(config)
    tokenizer, model = _prepare(config, texts, output, progress)
    trainer = _make_trainer(config, model.to(_device(use_gpu)), tokenizer, texts, output, progress)
    _train(trainer, model, tokenizer, output)
    return trainer.fraction >= 1


def find_texts(text: str | Sequence[str] | None) -> dict[str, Path]:
    """text (str | Sequence[str] | None): Directories with .txt files, files, or glob patterns.
    RETURNS (dict[str, Path]): Each file once, by its name without ending, or by its path to tell two apart.
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


def _find_progress(output: Path, resume: bool) -> Progress | None:
    """RETURNS (Progress | None): Of the state to resume; None starts a new run."""
    path = state_path(output)
    if path.exists() and not resume:
        raise InputError(
            f"{output} holds the state of a run: continue it with --resume, or use another directory."
        )
    if resume and not path.exists():
        msg.warn(f"{output} holds no state yet: starting from the beginning")
    return read_progress(path) if path.exists() else None


def _device(use_gpu: int) -> str:
    if use_gpu < 0:
        return "cpu"
    if use_gpu >= torch.cuda.device_count():
        raise InputError(f"There is no GPU {use_gpu}: {torch.cuda.device_count()} found. Leave --gpu-id out.")
    return f"cuda:{use_gpu}"


def _read_texts(config: LMConfig) -> list[TextFile]:
    paths = find_texts(config.paths.text)
    texts = [read_text_file(path, name, config.data) for name, path in paths.items()]
    n_lines, n_held_back = sum(len(text.train) for text in texts), sum(len(text.held_back) for text in texts)
    msg.good(f"{len(texts)} text files: {n_lines:,} lines to learn from, {n_held_back:,} to evaluate on")
    return texts


def _prepare(
    config: LMConfig, texts: Sequence[TextFile], output: Path, progress: Progress | None
) -> tuple[BloomTokenizerFast, BloomForCausalLM]:
    """The tokenizer is saved in the output directory, where a resumption finds it.

    RETURNS (tuple[BloomTokenizerFast, BloomForCausalLM]): Of the run to resume, of the checkpoint to
        fine-tune, or new ones.
    """
    torch.manual_seed(config.training.seed)
    if progress is not None:
        model = BloomForCausalLM(BloomConfig.from_dict(progress.run["model"]))
        _check_same_model(config, model.config)
        generation = progress.run.get("generation")
        model.generation_config = None if generation is None else GenerationConfig.from_dict(generation)
        return BloomTokenizerFast.from_pretrained(output / "tokenizer"), model
    if config.paths.init_checkpoint is not None:
        name = config.paths.init_checkpoint
        tokenizer, model = BloomTokenizerFast.from_pretrained(name), _load_model(name, config)
    else:
        tokenizer = _train_tokenizer(config, texts)
        model = BloomForCausalLM(_geometry(config, tokenizer))
    tokenizer.save_pretrained(output / "tokenizer")
    msg.good(f"Model of {model.num_parameters():,} parameters, {len(tokenizer):,} pieces")
    return tokenizer, model


def _load_model(name: str, config: LMConfig) -> BloomForCausalLM:
    dropout = {} if config.model is None else asdict(config.model)
    changes = {key: value for key, value in dropout.items() if key.endswith("_dropout")}
    return BloomForCausalLM.from_pretrained(name, dtype=torch.float32, **changes)


def _train_tokenizer(config: LMConfig, texts: Sequence[TextFile]) -> BloomTokenizerFast:
    assert config.tokenizer is not None  # read_config asks for it where no checkpoint is fine-tuned
    msg.info("Training the tokenizer")
    trained = train_tokenizer([text.train for text in texts], config.tokenizer, seed=config.training.seed)
    tokenizer = BloomTokenizerFast(tokenizer_object=trained)
    if len(tokenizer) < config.tokenizer.vocab_size:
        msg.warn(f"The text gives only {len(tokenizer):,} of {config.tokenizer.vocab_size:,} pieces")
    return tokenizer


def _geometry(config: LMConfig, tokenizer: BloomTokenizerFast) -> BloomConfig:
    assert config.model is not None  # as above
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return BloomConfig(vocab_size=len(tokenizer), **ids, **asdict(config.model))


def _make_trainer(
    config: LMConfig,
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[TextFile],
    output: Path,
    progress: Progress | None,
) -> LMTrainer:
    """RETURNS (LMTrainer): Ready to train, the state to resume taken up."""
    files = [encode_file(text, tokenizer, config.data) for text in texts]
    generation = model.generation_config
    run = {
        "model": model.config.to_dict(),
        "generation": None if generation is None else generation.to_dict(),
        **_fingerprint(config, files),
    }
    masking = _make_masking(config, tokenizer, model.config.n_layer)
    if progress is not None:
        _check_same_run(run, progress.run)
    trainer = LMTrainer(model, files, config.training, config.data, output, masking=masking, run=run)
    if progress is not None:
        trainer.resume()
        msg.good(f"Resumed after step {progress.step:,}, minute {progress.minutes:.1f}")
    return trainer


def _make_masking(config: LMConfig, tokenizer: BloomTokenizerFast, n_layer: int) -> Masking | None:
    if config.training.objective == "causal":
        return None
    if tokenizer.unk_token_id is None:
        raise InputError(
            'training.objective = "mntp" masks pieces with the unknown token, and the tokenizer has none.'
        )
    layers = config.training.bidirectional_layers or n_layer
    if layers > n_layer:
        raise ConfigError(
            f"training.bidirectional_layers is {layers}; the model has {n_layer} layers. Leave it out for all."
        )
    return Masking(tokenizer.unk_token_id, config.training.mask_rate, layers)


def _fingerprint(config: LMConfig, files: Sequence[EncodedFile]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): What must not change between a run and its resumption, in JSON."""
    n_pieces = {file.name: len(file.pieces) for file in files}
    training = config.training
    chosen = {name: getattr(training, name) for name in NOT_NAMED_BEFORE}
    return {"data": asdict(config.data), "seed": training.seed, "pieces": n_pieces, **chosen}


def _check_same_model(config: LMConfig, model: BloomConfig) -> None:
    """RAISES (CheckpointError): [model] is not what it was when the run was started."""
    used = {} if config.model is None else asdict(config.model)
    for name, value in used.items():
        # of a checkpoint that is fine-tuned the geometry is its own
        if config.paths.init_checkpoint is None or name.endswith("_dropout"):
            _check_same(f"model.{name}", getattr(model, name), value)


def _check_same_run(now: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    named = {
        "data": "[data]",
        "seed": "training.seed",
        "pieces": "The text",
        **{name: f"training.{name}" for name in NOT_NAMED_BEFORE},
    }
    before = {**NOT_NAMED_BEFORE, **saved}
    for name, what in named.items():
        _check_same(what, before.get(name), now.get(name))


def _check_same(what: str, before: Any, now: Any) -> None:
    if now != before:
        raise CheckpointError(
            f"{what} is not what it was when the run was started: {before}, now {now}. Set it back, or start a new run "
            "in another directory."
        )


def _train(trainer: LMTrainer, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, output: Path) -> None:
    """Run the loop under a progress bar and save the checkpoints."""
    dtype = trainer.config.save_dtype
    with _stop_on_signal(trainer), LMDisplay(trainer.fraction) as display:
        for report in trainer.train():
            display.show(report)
            if report.evaluation is not None and report.evaluation.is_best:
                _save_checkpoint(model, tokenizer, output / "model-best", dtype)
    if trainer.fraction >= 1:
        _save_checkpoint(model, tokenizer, output / "model-last", dtype)
        msg.good("Saved the trained model", output / "model-last")


def _save_checkpoint(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, path: Path, dtype: str) -> None:
    model.save_pretrained(path, dtype=dtype)
    tokenizer.save_pretrained(path)


@contextmanager
def _stop_on_signal(trainer: LMTrainer) -> Iterator[None]:
    """Let SIGINT (Ctrl-C) and SIGTERM end training after the current step; a second one acts as usual."""

    def stop(number: int, frame: Any) -> None:
        trainer.stop()
        for name, handler in before.items():
            signal.signal(name, handler)

    before = {}
    if threading.current_thread() is threading.main_thread():  # signals cannot be handled elsewhere
        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
