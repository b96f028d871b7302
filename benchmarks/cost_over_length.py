"""Plot the cost of a piece over the length of a text and over the number of texts, for our model, Hugging Face's and
CTranslate2's, if it is installed.

    python benchmarks/cost_over_length.py docs/cost_over_length.svg

The upper plot shows the time to read a prompt, per piece. The lower plot shows the number of new pieces per second for
a batch of prompts. Requires matplotlib.
"""

import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from decode import prompts
from decoders import Worker, available_systems, write_checkpoints
from measuring import Geometry, median, new_parser, report

matplotlib.use("svg")
from matplotlib import pyplot

LENGTHS = (16, 64, 256, 1024, 4096)
BATCHES = (1, 2, 4, 8, 16, 32)
PROMPT = 64
COLOURS = {"ours": "#0072b2", "Hugging Face": "#d55e00", "CTranslate2": "#009e73"}
DASHES = {"float32": "-", "float16": ":", "int8": "--"}
Lines = dict[str, list[float]]  # one number per length or batch size, by system


def measure(workers: list[Worker], options: Namespace) -> tuple[Lines, Lines]:
    """RETURNS (tuple[Lines, Lines]): Milliseconds per piece by length, and new pieces per second by batch size."""
    reading: Lines = {worker.system: [] for worker in workers}
    writing: Lines = {worker.system: [] for worker in workers}
    for length in LENGTHS:
        ids = prompts(1, length)
        turns = [[worker.generate(ids, 1)[0] for worker in workers] for _ in range(options.rounds + 1)]
        for worker, seconds in zip(workers, zip(*turns[1:], strict=True), strict=True):
            reading[worker.system].append(1000 * median(seconds) / length)
        print(f"{length} pieces", flush=True)
    for batch in BATCHES:
        ids = prompts(batch, PROMPT)
        for worker in workers:
            worker.generate(ids, 2)
        turns = [
            [worker.generate(ids, 1 + options.new)[0] - worker.generate(ids, 1)[0] for worker in workers]
            for _ in range(options.rounds)
        ]
        for worker, seconds in zip(workers, zip(*turns, strict=True), strict=True):
            writing[worker.system].append(batch * options.new / median(seconds))
        print(f"{batch} prompts", flush=True)
    return reading, writing


def draw(reading: Lines, writing: Lines, title: str, output: Path) -> None:
    """Save the plot. The same numbers result in the same file."""
    matplotlib.rcParams.update({"svg.hashsalt": "", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(2, 1, figsize=(6.4, 7.6), layout="constrained")
    for axis, lines, places in ((axes[0], reading, LENGTHS), (axes[1], writing, BATCHES)):
        for system, values in lines.items():
            name, _, dtype = system.rpartition(" ")
            colour, dash = (COLOURS[name], DASHES[dtype]) if dtype in DASHES else (COLOURS[system], "-")
            axis.plot(places, values, dash, color=colour, marker="o", markersize=3, label=system)
        axis.set(xscale="log", yscale="log", xticks=places, xticklabels=places)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set(title=title, xlabel="pieces of the prompt", ylabel="ms for each piece")
    axes[1].set(xlabel="prompts together", ylabel="new pieces per second")
    axes[0].legend(fontsize=8)
    figure.savefig(output, metadata={"Date": None})


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("output", type=Path, help="file for the plot (.svg)")
    parser.add_argument("--hidden-size", type=int, default=512, help="geometry")
    parser.add_argument("--n-layer", type=int, default=8, help="geometry")
    parser.add_argument("--vocab-size", type=int, default=8000, help="geometry: rows of the embedding")
    parser.add_argument("--new", type=int, default=16, help="new pieces per prompt")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 0."""
    options = options_from_command_line()
    geometry = Geometry(options.hidden_size, options.n_layer, options.hidden_size // 64, options.vocab_size)
    systems = available_systems()
    with TemporaryDirectory(dir=options.work) as directory:
        write_checkpoints(Path(directory), geometry, systems)
        workers = [Worker(system, Path(directory), options.threads) for system in systems]
        reading, writing = measure(workers, options)
        for worker in workers:
            worker.close()
    title = f"hidden {options.hidden_size} x {options.n_layer} layers, {options.threads} threads"
    draw(reading, writing, title, options.output)
    rows = [
        {"system": system}
        | {f"ms, {n}": value for n, value in zip(LENGTHS, reading[system], strict=True)}
        | {f"new/s, {n}": value for n, value in zip(BATCHES, writing[system], strict=True)}
        for system in systems
    ]
    report(f"ms to read each piece of a prompt, new pieces per second; {title}", rows, {}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
