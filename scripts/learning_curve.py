"""Draw the learning curve of language models that were trained with `train-lm`: bits per byte of the held-back lines
over the number of pieces, for each language and for all of them.

Runs that continue from each other are drawn one after the other.

    python scripts/learning_curve.py FIRST/history.jsonl SECOND/history.jsonl --output docs/learning_curve.svg
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # works without a display
matplotlib.rcParams["svg.hashsalt"] = "learning curve"  # makes the file reproducible
from matplotlib import pyplot  # noqa: E402

Row = dict


def read_history(path: Path) -> list[Row]:
    """RETURNS (list[Row]): The evaluations of a run.
    RAISES (ValueError): The file isn't a history with at least one evaluation.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
        complete = rows and all({"n_pieces", "bpb", "bpb_by_file"} <= row.keys() for row in rows)
    except (ValueError, AttributeError):
        complete = False
    if not complete:
        raise ValueError(
            f"{path}: expected lines of JSON with n_pieces, bpb and bpb_by_file, as written by train-lm."
        )
    return rows


def pieces_of(runs: Sequence[Sequence[Row]]) -> list[list[float]]:
    """RETURNS (list[list[float]]): Millions of pieces at each evaluation, including those of earlier runs."""
    start, found = 0, []
    for run in runs:
        found.append([(start + row["n_pieces"]) / 1e6 for row in run])
        start += run[-1]["n_pieces"]
    return found


def draw(runs: Sequence[Sequence[Row]], names: Sequence[str], output: Path) -> None:
    """Draw runs one after the other.

    runs (Sequence[Sequence[Row]]): The evaluations of each run.
    names (Sequence[str]): The name of each run in the legend.
    output (Path): The path of the image. Its suffix determines the format.
    """
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for run, name, pieces in zip(runs, names, pieces_of(runs), strict=True):
        for language in run[0]["bpb_by_file"]:
            axes.plot(pieces, [row["bpb_by_file"][language] for row in run], color="0.85", linewidth=0.7)
        axes.plot(
            pieces, [row["bpb"] for row in run], marker="o", markersize=4, linewidth=2, label=name, zorder=3
        )
    last, end = runs[-1][-1], pieces[-1]
    by_language = sorted(last["bpb_by_file"].items(), key=lambda item: item[1])
    for language, bits in (by_language[0], by_language[len(by_language) // 2], by_language[-1]):
        axes.annotate(
            language, (end, bits), xytext=(4, -3), textcoords="offset points", color="0.4", fontsize=8
        )
    axes.annotate(
        f"{last['bpb']:.3f}",
        (end, last["bpb"]),
        xytext=(4, 4),
        textcoords="offset points",
        weight="bold",
    )
    axes.set_xlabel("million pieces learned from")
    axes.set_ylabel("bits per byte of held-back lines")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0, right=1.08 * end or 1)
    axes.grid(color="0.93")
    axes.legend(title="all languages together (each language in grey)", frameon=False)
    figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("histories", type=Path, nargs="+", help="history.jsonl of each run, in order")
    parser.add_argument("--names", nargs="+", help="names of the runs (default: their folders)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("learning_curve.svg"),
        help="the image (default: learning_curve.svg)",
    )
    args = parser.parse_args()
    names = args.names or [path.absolute().parent.name for path in args.histories]
    if len(names) != len(args.histories):
        parser.error(f"got {len(names)} names for {len(args.histories)} histories")
    try:
        draw([read_history(path) for path in args.histories], names, args.output)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
