"""`python -m spacy bloom train-lm`: train a BLOOM language model on text files, or fine-tune one."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from spacy.cli._util import Arg, Opt, parse_config_overrides, show_validation_error
from spacy.util import load_config
from typer import Context
from wasabi import msg

from ..errors import InputError
from ..files import replacing_folder, writing_alone
from ..parallel.ranks import TIMEOUT, is_launched, rank
from ..pretraining.loop import LMTrainer
from ..pretraining.state import Progress, find_state, read_progress
from ..tokenizer import BloomTokenizerFast
from .failures import check_folder
from .train.lm_config import read_config
from .train.lm_display import LMDisplay
from .train.lm_models import DividedModel, OneModel
from .train.lm_run import make_trainer, prepare, read_texts
from .train.rank_output import find_device, on_ranks, start_of_command

COMMAND = "-m spacy bloom train-lm"
INTERRUPTED = 130  # exit code, as shells report an interruption


def train_lm_cli(
    ctx: Context,  # only to read the overrides
    config_path: Path = Arg(..., help="Path to config file", exists=True, dir_okay=False, allow_dash=True),
    output_path: Path = Arg(..., help="Directory for checkpoints, state and history"),
    resume: bool = Opt(False, "--resume", "-R", help="Continue from the state in the output directory"),
    use_gpu: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU; under torchrun, the first of a host's GPUs"),
    timeout: float = Opt(TIMEOUT, "--timeout", help="Under torchrun: seconds to wait for a rank that does not answer"),
) -> None:  # fmt: skip
    """
    Train a BLOOM causal language model on text files: UTF-8, one sentence or
    paragraph per line, one file per language. With paths.init_checkpoint in
    the config, an existing checkpoint is fine-tuned.

    With training.objective "mntp", a causal checkpoint learns to attend to
    what follows a piece too, for transformers with attention = "bidirectional".

    All settings of the config can be overridden as options, for instance
    --paths.text DIR --training.max_steps 100. The output directory gets the
    checkpoints model-best and model-last, the evaluations in history.jsonl,
    and the state from which --resume continues exactly after an interruption.

    Under torchrun, the model is divided among the ranks (FSDP2), which share
    out the training.accumulate_gradient batches of each step. Any number of
    ranks, or one process, can resume a run.
    """
    arguments = list(ctx.args)
    overrides = parse_config_overrides(ctx.args)
    with on_ranks(timeout):
        if train_lm(config_path, output_path, overrides=overrides, resume=resume, use_gpu=use_gpu):
            return
        options = ["--gpu-id", str(use_gpu)] if use_gpu >= 0 else []
        options += ["--timeout", str(timeout)] if timeout != TIMEOUT else []
        again = shlex.join([str(config_path), str(output_path), "--resume", *options, *arguments])
        msg.info("Training was interrupted and its state saved. To continue:")
        print(f"{start_of_command()} {COMMAND} {again}")  # not by wasabi, which would break the line
    sys.exit(INTERRUPTED)


def train_lm(
    config_path: Path,
    output: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    use_gpu: int = -1,
) -> bool:
    """Train a language model. Everything that can be checked is checked before the texts are read.

    config_path (Path): The config, or "-" for the standard input.
    output (Path): Directory for checkpoints, state and history.
    overrides (Mapping[str, Any] | None): Values of the config by dotted name.
    resume (bool): Continue from the state in the output directory.
    use_gpu (int): Number of the GPU, -1 for the CPU.
    RETURNS (bool): False if training was interrupted; its state is saved.
    RAISES (BloomError): Bad input.
    """
    device = find_device(use_gpu)
    with show_validation_error(config_path, hint_fill=False):
        config = read_config(load_config(config_path, dict(overrides or {}), interpolate=True))
    check_folder(output)
    progress = _find_progress(output, resume)
    texts = read_texts(config)
    models = (DividedModel if is_launched() else OneModel)(config, device)
    with _alone_in(output):
        tokenizer, model, engine = prepare(config, texts, output, progress, models)
        trainer = make_trainer(config, model, engine, tokenizer, texts, output, progress)
        _train(trainer, tokenizer, output)
    return trainer.fraction >= 1


def _find_progress(output: Path, resume: bool) -> Progress | None:
    """RETURNS (Progress | None): The state to resume; None starts a new run."""
    path = find_state(output)
    if path is not None and not resume:
        raise InputError(
            f"{output} holds the state of a run: continue it with --resume, or use another directory."
        )
    if resume and path is None:
        msg.warn(f"{output} holds no state yet: starting from the beginning")
    return None if path is None else read_progress(path)


def _alone_in(output: Path) -> AbstractContextManager[None]:
    """Refuse a second run in the same directory: each would replace the other's files."""
    if rank() != 0:
        return nullcontext()
    output.mkdir(parents=True, exist_ok=True)
    return writing_alone(output, wait=0)


def _train(trainer: LMTrainer, tokenizer: BloomTokenizerFast, output: Path) -> None:
    """Run the loop under a progress bar and save the checkpoints."""
    shown = trainer.engine.is_first
    with _stop_on_signal(trainer), LMDisplay(trainer.fraction, shown=shown) as display:
        for report in trainer.train():
            display.show(report)
            if report.evaluation is not None and report.evaluation.is_best:
                _save_checkpoint(trainer, tokenizer, output / "model-best")
    if trainer.fraction >= 1:
        _save_checkpoint(trainer, tokenizer, output / "model-last")
        msg.good("Saved the trained model", output / "model-last")


def _save_checkpoint(trainer: LMTrainer, tokenizer: BloomTokenizerFast, path: Path) -> None:
    # Weights and tokenizer together: between them, a checkpoint would not load.
    with replacing_folder(path) if trainer.engine.is_first else nullcontext(path) as place:
        trainer.engine.save_checkpoint(place, dtype=trainer.config.save_dtype)
        if trainer.engine.is_first:
            tokenizer.save_pretrained(place)


@contextmanager
def _stop_on_signal(trainer: LMTrainer) -> Iterator[None]:
    """Let SIGINT (Ctrl-C) and SIGTERM end training after the current step. A second signal acts as usual in one
    process; a rank is sent two by a Ctrl-C, one from the terminal and one from torchrun.
    """

    def stop(number: int, frame: Any) -> None:
        trainer.stop()
        if is_launched():
            return
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
