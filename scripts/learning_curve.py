"""Draw the learning curve of language models that `train-lm` has trained: bits per byte of the held-back lines over the
pieces learned from, of all languages together and of each.

Runs that began with the weights of the one before are drawn one after the other.

    python scripts/learning_curve.py FIRST/history.jsonl SECOND/history.jsonl --output docs/learning_curve.svg
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no screen
matplotlib.rcParams["svg.hashsalt"] = "learning curve"  # the same curve is the same file
from matplotlib import pyplot  # noqa: E402

Row = dict


def read_history(path: Path) -> list[Row]:
    """RETURNS (list[Row]): the evaluations of a run.
    RAISES (ValueError): when the file is not a history with at least one evaluation.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
        complete = rows and all({"n_pieces", "bpb", "bpb_by_file"} <= row.keys() for row in rows)
    except (ValueError, AttributeError):
        complete = False
    if not complete:
        raise ValueError(
            f"{path}: expected lines of JSON with n_pieces, bpb and bpb_by_file, as train-lm writes them."
        )
    return rows


def pieces_of(runs: Sequence[Sequence[Row]]) -> list[list[float]]:
    """RETURNS (list[list[float]]): million pieces at each evaluation; a run's are counted on from the one before."""
    start, found = 0, []
    for run in runs:
        found.append([(start + row["n_pieces"]) / 1e6 for row in run])
        start += run[-1]["n_pieces"]
    return found


def draw(runs: Sequence[Sequence[Row]], names: Sequence[str], output: Path) -> None:
    """Draw runs one after the other.

    runs (Sequence[Sequence[Row]]): the evaluations of each.
    names (Sequence[str]): what the legend calls each.
    output (Path): an image, of the kind that its suffix says.
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
    parser.add_argument("histories", type=Path, nargs="+", help="history.jsonl of each run, in their order")
    parser.add_argument("--names", nargs="+", help="what to call the runs (default: their folders)")
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
