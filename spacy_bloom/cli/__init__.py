"""Commands under `python -m spacy bloom`, found by spaCy through the entry point group `spacy_cli`."""

from collections.abc import Callable
from typing import Any

import typer
from spacy.cli._util import app

from .apply import apply_cli
from .calibrate import calibrate_cli
from .convert import convert_cli
from .convert_data import KIND_LIST, convert_data_cli
from .debug_data import debug_data_cli
from .debug_pieces import debug_pieces_cli
from .demo import demo_cli
from .evaluate import evaluate_cli
from .failures import ending_with_message
from .info import info_cli
from .init_config import TASK_LIST, init_config_cli
from .report import report_cli
from .serve import serve_cli
from .train_lm import train_lm_cli
from .train_pipeline import train_pipeline_cli
from .trim_vocab import trim_vocab_cli
from .verify import verify_cli

bloom_cli = typer.Typer(
    name="bloom",
    help="Commands for BLOOM language models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add(name: str, command: Callable[..., None], **options: Any) -> None:
    """Add a command that ends with a message when its input cannot be used."""
    bloom_cli.command(name, **options)(ending_with_message(command))


# Unknown options override the config, as in `spacy train`.
WITH_OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
add("train", train_pipeline_cli, context_settings=WITH_OVERRIDES)
add("train-lm", train_lm_cli, context_settings=WITH_OVERRIDES)
add("apply", apply_cli)
add("demo", demo_cli)
add("serve", serve_cli)
add("report", report_cli)
add("convert", convert_cli)
add("info", info_cli)
add("verify", verify_cli)
add("debug-data", debug_data_cli)
add("evaluate", evaluate_cli)
add("calibrate", calibrate_cli)
add("convert-data", convert_data_cli, epilog=KIND_LIST)
add("trim-vocab", trim_vocab_cli)
add("debug-pieces", debug_pieces_cli)
add("init-config", init_config_cli, epilog=TASK_LIST)

app.add_typer(bloom_cli)
