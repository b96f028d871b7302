"""Greedy generation at the size of bloom-560m: ours in float32, float16 and int8, Hugging Face's, and CTranslate2's.

A shortlist finds the best pieces with an int8 copy of the language-modelling head; the pieces are the same.

CTranslate2 is included if it is installed (`pip install ctranslate2`).
"""

import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from decoders import CT2, OURS, THEIRS, VOCABULARY, Worker, available_systems, write_checkpoints
from measuring import MEGA, median, new_parser, report
from save_load import GEOMETRIES

# (system, compared with, batch size, minimum speedup)
GOALS = [
    ("ours int8", "CTranslate2 int8", 1, 1.4),
    ("ours int8", "CTranslate2 int8", 8, 1.7),
    ("ours float32", "CTranslate2 float32", 1, 1.0),
    *(("ours float32", "CTranslate2 float32", n, 1.1) for n in (2, 4, 8)),
    ("ours float32, shortlist", "CTranslate2 float32", 1, 1.0),
    *(("ours float32, shortlist", "CTranslate2 float32", n, 1.1) for n in (2, 4, 8)),
    ("ours float16", "ours int8", 1, 0.95),
    ("ours float16, shortlist", "ours int8", 1, 0.95),
]


def prompts(batch: int, length: int) -> list[list[int]]:
    """RETURNS (list[list[int]]): Random ids."""
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(10, VOCABULARY - 10, (batch, length), generator=generator).tolist()


def measure(workers: list[Worker], options: Namespace) -> dict[tuple[str, int], dict[str, list[float]]]:
    """Measure all systems in turn. RETURNS (dict): New pieces per second after the first one, and seconds until the
    first one, by system and batch size.
    """
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    for number in range(options.rounds + 1):
        for batch in options.batches:
            ids = prompts(batch, options.prompt)
            for worker in workers:
                first, _ = worker.generate(ids, 1, cpu_time=options.cpu_time)
                whole, _ = worker.generate(ids, 1 + options.new, cpu_time=options.cpu_time)
                if number == 0:
                    continue  # the first round is a warm-up
                entry = found.setdefault((worker.system, batch), {"speed": [], "first": []})
                entry["speed"].append(batch * options.new / (whole - first))
                entry["first"].append(first)
        print(f"round {number} of {options.rounds}", flush=True)
    return found


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="of bloom-560m, bloom-1b7, or small"
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=[*OURS, THEIRS, *CT2],
        help="systems (default: all that are installed)",
    )
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 2, 4, 8], help="batch sizes, in prompts"
    )
    parser.add_argument("--prompt", type=int, default=64, help="pieces per prompt")
    parser.add_argument("--new", type=int, default=24, help="pieces after the first")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    parser.add_argument(
        "--cpu-time", action="store_true", help="measure CPU time instead; requires --threads 1"
    )
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if our float32 model and Hugging Face's generate different pieces, else 0."""
    options = options_from_command_line()
    systems = options.systems or available_systems()
    with TemporaryDirectory(dir=options.work) as directory:
        write_checkpoints(Path(directory), GEOMETRIES[options.geometry], systems)
        workers = [Worker(system, Path(directory), options.threads) for system in systems]
        ids = prompts(options.batches[-1], options.prompt)
        written = {worker.system: worker.generate(ids, options.new)[1] for worker in workers}
        found = measure(workers, options)
        peaks = {worker.system: worker.memory() / MEGA for worker in workers}
        for worker in workers:
            worker.close()
    report_all(found, peaks, written, options)
    both = written.get(OURS[0]), written.get(THEIRS)
    return int(None not in both and both[0] != both[1])


def report_all(
    found: dict[tuple[str, int], dict[str, list[float]]],
    peaks: dict[str, float],
    written: dict[str, list[list[int]]],
    options: Namespace,
) -> None:
    """Print the table, the goals reached, and how many pieces are the same as with Hugging Face's model."""
    rows = []
    for system, peak in peaks.items():
        speeds = {f"batch {n}": median(found[system, n]["speed"]) for n in options.batches}
        first = {f"first, s ({n})": median(found[system, n]["first"]) for n in options.batches}
        rows.append({"system": system, **speeds, **first, "MB peak": peak})
    notes: dict[str, float | str] = {}
    for system, other, batch, goal in GOALS:
        if (system, batch) in found and (other, batch) in found:
            pairs = zip(found[system, batch]["speed"], found[other, batch]["speed"], strict=True)
            notes[f"{system}, batch {batch}, times {other} (goal {goal})"] = median([a / b for a, b in pairs])
    reference = written.get(THEIRS, next(iter(written.values())))
    total = sum(map(len, reference))
    for system, ids in written.items():
        same = sum(a == b for x, y in zip(ids, reference, strict=True) for a, b in zip(x, y, strict=False))
        notes[f"pieces of {system} that are the reference's"] = f"{same} of {total}"
    title = (
        f"New pieces per second, prompts of {options.prompt} and {options.new} more; {options.geometry}, "
        f"{options.threads} threads, medians of {options.rounds} rounds"
    )
    report(title, rows, notes, options.json)


if __name__ == "__main__":
    sys.exit(main())
