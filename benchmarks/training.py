"""Train a pipeline with spaCy's command."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import load_config

RECORD = "training.json"  # next to model-last


def train_once(config: Path, output: Path, options: Mapping[str, Any], *more: str) -> None:
    """Run `spacy train`, unless the training has finished before. model-last is written at every evaluation, so an
    interrupted training is not mistaken for a finished one.

    config (Path): The training config.
    output (Path): The folder for the pipelines.
    options (Mapping[str, Any]): The settings of the config to change.
    more (str): Additional arguments.
    RAISES (SystemExit): The existing pipeline was trained with other settings.
    """
    changes = [f"--{name}={_written(value)}" for name, value in options.items()]
    if output.is_dir():
        _check_settings(output, changes)
        return
    unfinished = output.with_name(f"{output.name}-unfinished")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    command = [
        sys.executable,
        "-m",
        "spacy",
        "train",
        str(config),
        "--output",
        str(unfinished),
        *more,
        *changes,
    ]
    before = _cpu_minutes_of_children()
    subprocess.run(command, check=True)
    record = {"cpu_minutes": _cpu_minutes_of_children() - before, "settings": changes}
    (unfinished / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf8")
    unfinished.rename(output)


def _check_settings(output: Path, changes: list[str]) -> None:
    trained_with = _record(output).get("settings", changes)
    if trained_with != changes:
        raise SystemExit(
            f"{output} was trained with\n  {' '.join(trained_with)}\nand not with\n  {' '.join(changes)}\n"
            "Remove it, or work in another folder."
        )


def cpu_minutes(output: Path) -> float:
    """RETURNS (float): The CPU time of `train_once` in minutes, which hardly depends on other processes, unlike elapsed
    time. NaN for pipelines from other sources.
    """
    return _record(output).get("cpu_minutes", float("nan"))


def _record(output: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The record written by `train_once`. Empty for pipelines from other sources."""
    path = output / RECORD
    return json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}


def _cpu_minutes_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def _written(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def read_docs(nlp: Language, path: Path) -> list[Doc]:
    """RETURNS (list[Doc]): All Docs in a .spacy file."""
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(nlp.vocab))


def thin_out(corpus: Path, every: int, output: Path) -> None:
    """Write every nth Doc of a .spacy file to another file, starting with the first one."""
    DocBin(store_user_data=True, docs=read_docs(spacy.blank("xx"), corpus)[::every]).to_disk(output)


@cache  # shared by all systems in a comparison
def steps(config: Path, corpus: Path, epochs: int) -> int:
    """RETURNS (int): The number of batches in all epochs and a few more, so that training ends with the last epoch."""
    words_per_batch = load_config(config)["training"]["batcher"]["size"]
    docs = read_docs(spacy.blank("xx"), corpus)
    return round(1.05 * epochs * sum(len(doc) for doc in docs) / words_per_batch)
