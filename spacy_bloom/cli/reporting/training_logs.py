"""Curves of a training: the rows that loggers and `train-lm` write, one a line."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError

HISTORY = "history.jsonl"  # of train-lm


@dataclass
class Log:
    """The curves of a training.

    unit (str): What is counted along them: steps, or pieces of text.
    losses, scores (dict[str, list[tuple[float, float]]]): Points by name. Scores of pipelines are in percent, those of
        language models in bits a byte.
    by_file (dict[str, list[tuple[float, float]]]): Bits a byte of each file that was evaluated.
    """

    unit: str = "steps"
    losses: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    scores: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    by_file: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def find_log(folder: Path) -> Path | None:
    """RETURNS (Path | None): The log in the folder of a training; None if there is none.
    RAISES (InputError): There are several.
    """
    history = folder / HISTORY
    if history.is_file():
        return history
    found = sorted(folder.glob("*.jsonl"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"Expected one log in {folder}, got {names}. Choose one with --log.")
    return found[0] if found else None


def read_log(path: Path) -> Log:
    """path (Path): What spaCy's ConsoleLogger, or ours, writes to output_file, or history.jsonl of train-lm.
    RETURNS (Log): The curves.
    RAISES (InputError): A line is neither, or there is none.
    """
    log = Log()
    for row in _read_rows(path):
        if isinstance(row.get("losses"), dict):
            _add_pipeline(log, row)
        else:
            _add_language_model(log, row)
    if not (log.losses or log.scores):
        raise InputError(f"{path} has no evaluations yet.")
    return log


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf8") as file:
        lines = file.readlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row["step"], int):
                raise KeyError("step")
            yield row
        except (ValueError, KeyError, RecursionError):
            if number == len(lines) and not line.endswith("\n"):
                return  # only half written: the training goes on
            raise InputError(
                f"{path}, line {number}: expected a row of spacy-bloom.ConsoleLogger.v1 with output_file, or of train-lm's "
                f"{HISTORY}; got {line[:60]!r}."
            ) from None


def _add_pipeline(log: Log, row: Mapping[str, Any]) -> None:
    for name, loss in row["losses"].items():
        _add(log.losses, name, row["step"], loss)
    for name, score in {**(row.get("scores") or {}), "score": 100 * row.get("score", math.nan)}.items():
        if name != "speed":
            _add(log.scores, name, row["step"], score)


def _add_language_model(log: Log, row: Mapping[str, Any]) -> None:
    log.unit = "pieces"
    at = row.get("n_pieces", row["step"])
    _add(log.losses, "training loss (nats a piece)", at, row.get("loss"))
    _add(log.scores, "bits a byte", at, row.get("bpb"))
    for name, bpb in (row.get("bpb_by_file") or {}).items():
        _add(log.by_file, Path(name).stem, at, bpb)


def _add(curves: dict[str, list[tuple[float, float]]], name: str, at: float, value: Any) -> None:
    if isinstance(value, (int, float)) and math.isfinite(value):
        curves.setdefault(name, []).append((float(at), float(value)))
