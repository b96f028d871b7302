"""Scores that a training or an evaluation has written."""

import json
from pathlib import Path
from typing import Any

from ...errors import InputError

SAVED = ("model-best", "model-last")
GROUPED = "groups"


def read_performance(folder: Path) -> dict[str, dict[str, Any]]:
    """RETURNS (dict[str, dict[str, Any]]): The scores in meta.json of the pipelines in a training's folder, or of the
    folder's own, by the name of the folder.
    """
    found = {}
    for place in (folder, *(folder / name for name in SAVED)):
        meta = place / "meta.json"
        if meta.is_file():
            performance = read_json(meta).get("performance")
            if isinstance(performance, dict) and performance:
                found[place.name] = performance
    return found


def read_evaluation(path: Path) -> dict[str, dict[str, Any]]:
    """path (Path): What `evaluate --json` writes.
    RETURNS (dict[str, dict[str, Any]]): By task, scores by group and of all together.
    RAISES (InputError): It is something else.
    """
    scores = read_json(path).get("scores")
    if not isinstance(scores, dict) or not all(isinstance(s, dict) and GROUPED in s for s in scores.values()):
        raise InputError(f"Expected {path} to be scores as evaluate --json writes them.")
    return scores


def read_json(path: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The object in a file. RAISES (InputError): There is none."""
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise InputError(f"Expected {path} to be a JSON object, got {type(found).__name__}.")
    return found
