"""spaCy's console logger with names of components that its columns have room for."""

import sys
from collections.abc import Callable, Sequence
from itertools import takewhile
from types import SimpleNamespace
from typing import IO, Any, Dict, Optional, Tuple

from spacy.language import Language
from spacy.training.loggers import console_logger_v3
from spacy.util import registry

PREFIX = "bloom_"
WIDTH = 8  # of a name: a column has 13 characters, "Loss " included, and what is longer is cut after 10

LogStep = Callable[[Optional[Dict[str, Any]]], None]
Logger = Tuple[LogStep, Callable[[], None]]


@registry.loggers("spacy-bloom.ConsoleLogger.v1")
def create_console_logger(
    progress_bar: Optional[str] = None, console_output: bool = True, output_file: Optional[str] = None
) -> Callable[..., Logger]:
    """spaCy's `spacy.ConsoleLogger.v3`, which cuts the names of most of our components to "LOSS BLOOM...". In the
    console they are shortened so that they differ; the file has them in full.

    progress_bar (Optional[str]), console_output (bool), output_file (Optional[str]): As for spaCy's logger.
    RETURNS (Callable): Sets the logger up for a pipeline.
    """
    to_console = console_logger_v3(progress_bar=progress_bar, console_output=console_output)
    to_file = console_logger_v3(console_output=False, output_file=output_file)

    def set_up(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> Logger:
        short = short_names(nlp.pipe_names)
        shown: Any = SimpleNamespace(config=nlp.config, pipeline=[(short[n], p) for n, p in nlp.pipeline])
        log_to_console, close_console = to_console(shown, stdout, stderr)
        log_to_file, close_file = to_file(nlp, stdout, stderr)

        def log_step(info: Optional[Dict[str, Any]]) -> None:
            log_to_file(info)
            if info is not None:
                losses = {short.get(name, name): loss for name, loss in info["losses"].items()}
                info = {**info, "losses": losses}
            log_to_console(info)

        def finalize() -> None:
            close_file()
            close_console()

        return log_step, finalize

    return set_up


def short_names(names: Sequence[str]) -> dict[str, str]:
    """RETURNS (dict[str, str]): Names of at most 8 characters, all different: without first words that are alike."""
    whole = {name: name.removeprefix(PREFIX) for name in names}
    short = {}
    for name, text in whole.items():
        alike = [other.split("_") for other in whole.values() if other[:WIDTH] == text[:WIDTH]]
        n_shared = sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*alike, strict=False)))
        rest = "_".join(text.split("_")[n_shared:]) if len(alike) > 1 else text
        short[name] = (rest or text)[:WIDTH]
    if len(set(short.values())) < len(short):
        return {name: f"{number}_{whole[name]}"[:WIDTH] for number, name in enumerate(names, 1)}
    return short
