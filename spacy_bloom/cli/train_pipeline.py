"""`python -m spacy bloom train`: `spacy train`, which torchrun can start on several ranks."""

import inspect
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from spacy import util
from spacy.cli._util import Opt, import_code, parse_config_overrides, setup_gpu, show_validation_error
from spacy.cli.train import train_cli as spacy_train_cli
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_nlp
from thinc.api import fix_random_seed
from wasabi import msg

from ..errors import InputError
from ..parallel.ranks import TIMEOUT, from_first, is_launched, n_ranks, rank
from .failures import check_folder
from .train.rank_output import find_device, on_ranks
from .train.shared_updates import sharing_updates
from .train.whole_saves import saving_whole

TIMEOUT_OPTION = Opt(TIMEOUT, "--timeout", help="Under torchrun: seconds to wait for a rank that does not answer. An evaluation must not take longer")  # fmt: skip
# `spacy.cli` has the function under the same name.
spacy_train = import_module("spacy.cli.train")
SILENT = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}


def train_pipeline_cli(*, timeout: float, **options: Any) -> None:
    """
    Train or update a spaCy pipeline, with all options of `spacy train`. In one
    process, it is that command, but for model-best and model-last: they are
    whole at any time, also if it is killed while it saves.

    Under torchrun, the ranks share out the training.accumulate_gradient parts
    of each batch and add up their gradients: the result is that of one rank
    with the same config, up to rounding. The first rank evaluates, logs and
    writes; the others follow its decisions.
    """
    with on_ranks(timeout) if is_launched() else nullcontext():
        if options["verbose"]:
            util.logger.setLevel(logging.DEBUG)
            _log_as_spacy_does()
        overrides = parse_config_overrides(options["ctx"].args)
        import_code(options["code_path"])
        train = train_on_ranks if is_launched() else train_alone
        train(options["config_path"], options["output_path"], use_gpu=options["use_gpu"], overrides=overrides)


def train_alone(
    config_path: Path, output_path: Path | None, *, use_gpu: int, overrides: Mapping[str, Any]
) -> None:
    """spaCy's `train`, with model-best and model-last that are whole whenever it is ended. Arguments as there."""

    def train(nlp: Language, *args: Any, **options: Any) -> Any:
        with saving_whole(nlp):
            return train_nlp(nlp, *args, **options)

    spacys: Any = spacy_train
    spacys.train_nlp = train
    try:
        spacy_train.train(config_path, output_path, use_gpu=use_gpu, overrides=dict(overrides))
    finally:
        spacys.train_nlp = train_nlp


def _log_as_spacy_does() -> None:
    """Let our modules say what spaCy's say with --verbose, in the same form and place."""
    logger = logging.getLogger("spacy_bloom")
    logger.setLevel(logging.DEBUG)
    logger.handlers = list(util.logger.handlers)


def train_on_ranks(
    config_path: Path, output_path: Path | None, *, use_gpu: int, overrides: Mapping[str, Any]
) -> None:
    """As spaCy's `train`, on ranks that have met.

    config_path (Path): The config, which all ranks read.
    output_path (Path | None): Directory for the first rank to write to.
    use_gpu (int): The GPU of the host's first rank, -1 for the CPU.
    overrides (Mapping[str, Any]): Values of the config by dotted name.
    RAISES (InputError): The config is not in a file, or the ranks do not have the same weights or batches.
    """
    is_first = rank() == 0
    if str(config_path) == "-":
        raise InputError("Expected a config file, got the standard input, which several ranks cannot share.")
    if output_path is not None:
        check_folder(output_path)
        output_path.mkdir(parents=True, exist_ok=True)
        msg.info(f"Saving to output directory: {output_path}")
    use_gpu = int(find_device(use_gpu).removeprefix("cuda:")) if use_gpu >= 0 else -1
    setup_gpu(use_gpu)
    with show_validation_error(config_path):
        config = util.load_config(config_path, overrides=dict(overrides), interpolate=False)
    seed = _common_seed(config.interpolate()["training"].get("seed"))
    msg.divider("Initializing pipeline")
    with show_validation_error(config_path, hint_fill=False):
        nlp = init_nlp(config, use_gpu=use_gpu)
    msg.good("Initialized pipeline")
    _check_parts(nlp.config.interpolate()["training"]["accumulate_gradient"])
    msg.divider(f"Training pipeline on {n_ranks()} ranks")
    with ExitStack() as changes:
        changes.enter_context(sharing_updates(seed))
        if is_first:
            changes.enter_context(saving_whole(nlp))
        else:
            nlp.config["training"]["logger"] = SILENT  # the first one logs what all do
        train_nlp(
            nlp, output_path if is_first else None, use_gpu=use_gpu, stdout=sys.stdout, stderr=sys.stderr
        )


def _common_seed(seed: int | None) -> int:
    """RETURNS (int): The config's seed, or one that the first rank has drawn and all use."""
    if seed is None:
        seed = from_first(int.from_bytes(os.urandom(4), "big"))
        fix_random_seed(seed)
    return seed


def _check_parts(accumulate_gradient: int) -> None:
    if accumulate_gradient % n_ranks():
        msg.warn(
            f"{n_ranks()} ranks share out the {accumulate_gradient} parts of a batch: some wait for others. To use "
            f"all, set training.accumulate_gradient to a multiple of {n_ranks()}."
        )


def _with_options_of_spacy() -> None:
    """Give the command the signature of spaCy's, from which its options are made, and the timeout."""
    spacys = inspect.signature(spacy_train_cli)
    timeout = inspect.Parameter(
        "timeout", inspect.Parameter.KEYWORD_ONLY, default=TIMEOUT_OPTION, annotation=float
    )
    parameters = [*spacys.parameters.values(), timeout]
    train_pipeline_cli.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train_pipeline_cli.__annotations__ = {p.name: p.annotation for p in parameters}


_with_options_of_spacy()
