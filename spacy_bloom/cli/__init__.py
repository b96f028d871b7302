"""Commands under `python -m spacy bloom`, found by spaCy through the entry point group `spacy_cli`."""

import typer
from spacy.cli._util import app

from .convert import convert_cli
from .debug_pieces import debug_pieces_cli
from .demo import demo_cli
from .failures import ending_with_message
from .info import info_cli
from .init_config import TASK_LIST, init_config_cli
from .train_lm import train_lm_cli
from .trim_vocab import trim_vocab_cli

bloom_cli = typer.Typer(
    name="bloom",
    help="Commands for BLOOM language models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

# Unknown options are overrides of the config, as in `spacy train`.
WITH_OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
bloom_cli.command("train-lm", context_settings=WITH_OVERRIDES)(ending_with_message(train_lm_cli))
bloom_cli.command("demo")(ending_with_message(demo_cli))
bloom_cli.command("convert")(ending_with_message(convert_cli))
bloom_cli.command("info")(ending_with_message(info_cli))
bloom_cli.command("trim-vocab")(ending_with_message(trim_vocab_cli))
bloom_cli.command("debug-pieces")(ending_with_message(debug_pieces_cli))
bloom_cli.command("init-config", epilog=TASK_LIST)(ending_with_message(init_config_cli))

app.add_typer(bloom_cli)
