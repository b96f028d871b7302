"""Time and memory of nlp.to_disk and spacy.load with a large transformer, ours and spacy-transformers'."""

import os
import sys
import time
from argparse import Namespace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import spacy
import torch
import transformers
from measuring import (
    MEGA,
    OURS,
    THEIRS,
    Geometry,
    in_fresh_process,
    largest_difference,
    median,
    memory,
    new_parser,
    piece_vectors,
    report,
    reset_peak,
    transformer_pipeline,
    write_checkpoint,
)
from texts import new_tokenizer, pseudo_lines

GEOMETRIES = {
    "small": Geometry(hidden_size=256, n_layer=4, n_head=4, vocab_size=8000),
    "560m": Geometry(hidden_size=1024, n_layer=24, n_head=16, vocab_size=250880),
    "1b7": Geometry(hidden_size=2048, n_layer=24, n_head=16, vocab_size=250880),
}
FACTORIES = {OURS: "bloom_transformer", THEIRS: "transformer"}
TEXT = "kata lima brosta, vai pralu teni kata! Snow \U0001f643 \u96ea"
TOLERANCE = 1e-4
PEAK = 1.3  # of the weights
TIME = 0.1  # of spacy-transformers' time


def import_everything(system: str) -> int:
    """Import everything the system needs, so that only its own work is measured.

    RETURNS (int): The current memory of the process, in bytes.
    """
    spacy.blank("xx").add_pipe(FACTORIES[system])
    if system == THEIRS:
        _ = (
            transformers.BloomModel,
            transformers.BloomTokenizerFast,
        )  # lazy modules, which are loaded on first access
    return memory()


def save(system: str, checkpoint: str, path: str, options: Namespace) -> dict[str, Any]:
    """Save a pipeline whose weights are in memory. Has to run in its own process."""
    torch.set_num_threads(options.threads)
    imported = import_everything(system)
    nlp = transformer_pipeline(system, checkpoint)
    vectors = piece_vectors(nlp, [TEXT])
    for parameter in weights_of(system, nlp).parameters():
        # Memory of the process, as after training, not a map of the checkpoint.
        parameter.data = parameter.data.clone()
    reset_peak()
    start = time.perf_counter()
    nlp.to_disk(path)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": memory("VmHWM") - imported, "vectors": vectors}


def weights_of(system: str, nlp: spacy.Language) -> torch.nn.Module:
    """RETURNS (Module): The PyTorch model of a pipeline."""
    model = nlp.get_pipe(FACTORIES[system]).model
    return model.shims[0].module if system == OURS else model.transformer


def load(system: str, path: str, options: Namespace) -> dict[str, Any]:
    """Load a pipeline and process one Doc. Has to run in its own process."""
    torch.set_num_threads(options.threads)
    imported = import_everything(system)
    reset_peak()
    start = time.perf_counter()
    nlp = spacy.load(path)
    seconds = time.perf_counter() - start
    peak = memory("VmHWM") - imported
    vectors = piece_vectors(nlp, [TEXT])
    return {
        "seconds": seconds,
        "peak": peak,
        "seconds with a Doc": time.perf_counter() - start,
        "peak with a Doc": memory("VmHWM") - imported,
        "vectors": vectors,
    }


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="geometry of bloom-560m or bloom-1b7, or small"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    parser.add_argument("--ours-only", action="store_true", help="leave out spacy-transformers")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if a bound is exceeded, else 0."""
    options = options_from_command_line()
    geometry = GEOMETRIES[options.geometry]
    systems = [OURS] if options.ours_only else [OURS, THEIRS]
    turns: dict[tuple[str, str], list[dict[str, Any]]] = {
        (a, s): [] for a in ("save", "load") for s in systems
    }
    with TemporaryDirectory(dir=options.work) as directory:
        checkpoint = str(Path(directory) / "checkpoint")
        tokenizer = new_tokenizer(pseudo_lines(20_000), 8000)
        in_fresh_process(write_checkpoint, Path(checkpoint), geometry, tokenizer)
        for _ in range(options.rounds):
            for system in systems:
                path = str(Path(directory) / system)
                os.sync()  # pending writes of one round would slow down the next one
                turns["save", system].append(in_fresh_process(save, system, checkpoint, path, options))
                os.sync()
                turns["load", system].append(in_fresh_process(load, system, path, options))
                rmtree(path)
                for action in ("save", "load"):
                    print(f"{action}, {system}: {turns[action, system][-1]['seconds']:.2f} s", flush=True)
    rows = rows_of(turns, geometry.n_bytes)
    vectors = [turn["vectors"] for results in turns.values() for turn in results]
    difference = max(largest_difference(vectors[0], other) for other in vectors)
    peak = max(row["peak / weights"] for row in rows if row["system"] == OURS)
    notes = {
        f"largest difference of piece vectors, before and after (bound {TOLERANCE:.0e})": difference,
        f"our highest peak / weights (bound {PEAK})": peak,
    }
    good = difference <= TOLERANCE and peak <= PEAK
    if not options.ours_only:
        ratios = time_ratios(rows)
        notes |= {f"our time / {THEIRS}', {name} (bound {TIME})": value for name, value in ratios.items()}
        good = good and max(ratios["save"], ratios["load"]) <= TIME
    size = f"{geometry.n_bytes / MEGA:,.0f} MB of weights"
    title = f"Geometry {options.geometry}, {size}; medians of {options.rounds} rounds"
    report(title, rows, notes, options.json)
    return int(not good)


def rows_of(turns: dict[tuple[str, str], list[dict[str, Any]]], n_bytes: int) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The rows of the table. Peaks do not include the imports."""
    rows = []
    for (action, system), results in turns.items():
        for suffix in ("", " with a Doc") if action == "load" else ("",):
            peak = median([turn["peak" + suffix] for turn in results])
            rows.append(
                {
                    "action": action + suffix,
                    "system": system,
                    "seconds": median([turn["seconds" + suffix] for turn in results]),
                    "MB peak": peak / MEGA,
                    "peak / weights": peak / n_bytes,
                }
            )
    return rows


def time_ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """RETURNS (dict[str, float]): The ratio of our time to theirs, by action."""
    seconds = {(row["action"], row["system"]): row["seconds"] for row in rows}
    actions = dict.fromkeys(action for action, _ in seconds)
    return {action: seconds[action, OURS] / seconds[action, THEIRS] for action in actions}


if __name__ == "__main__":
    sys.exit(main())
