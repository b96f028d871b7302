"""Training a pipeline with spaCy's command."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import DocBin
from spacy.util import load_config


def is_trained(output: Path) -> bool:
    """RETURNS (bool): Whether a training of `train_once` has come to its end there."""
    return output.is_dir()


def train_once(config: Path, output: Path, options: Mapping[str, Any], *more: str) -> None:
    """Run `spacy train`, unless it has come to its end before. It writes model-last at every evaluation: what a
    training that was cut off has left is not taken for its result.

    config (Path): The training config.
    output (Path): Where the pipelines will be.
    options (Mapping[str, Any]): Settings of the config to change.
    more (str): Further arguments.
    """
    unfinished = output.with_name(f"{output.name}-unfinished")
    if is_trained(output):
        return
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    changes = [f"--{name}={_written(value)}" for name, value in options.items()]
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
    subprocess.run(command, check=True)
    unfinished.rename(output)


def _written(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def steps(config: Path, corpus: Path, epochs: int) -> int:
    """RETURNS (int): Batches of the config's size in all epochs, and a few more: the epochs shall end first."""
    words_per_batch = load_config(config)["training"]["batcher"]["size"]
    docs = DocBin(store_user_data=True).from_disk(corpus).get_docs(spacy.blank("xx").vocab)
    return round(1.05 * epochs * sum(len(doc) for doc in docs) / words_per_batch)
