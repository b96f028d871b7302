"""What does it cost to apply a pipeline to a corpus in shards, and is every Doc written exactly once if workers and the
run itself are killed?

    python benchmarks/apply.py FOLDER                       # throughput: one process, in shards, several processes, Ray
    python benchmarks/apply.py FOLDER --docs 1000000 --kills 20   # killed at random and resumed

FOLDER holds .txt files, whose lines are taken in turn, again and again, each with a number behind it. The pipeline is
a rule for entities: what is measured is the machinery around it.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import spacy
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_bloom.applying import Processes, RayActors, apply_pipeline

FILES = 4
PLAIN = "plain loop"
SKIPPED = 2  # files at the start, as many as there are workers at most


def write_corpus(source: Path, target: Path, n_docs: int, words: int) -> None:
    """Write texts that end in a number to several files, one shard after the other."""
    read = (line for path in sorted(source.glob("*.txt")) for line in path.open(encoding="utf8"))
    # Some scripts have no spaces between words.
    lines = itertools.cycle([" ".join(line.split()[:words])[: 8 * words] for line in read if line.strip()])
    target.mkdir(parents=True)
    for file in range(FILES):
        with (target / f"part{file}.jsonl").open("w", encoding="utf8") as out:
            for number in range(file * n_docs // FILES, (file + 1) * n_docs // FILES):
                out.write(json.dumps({"text": f"{next(lines)} {number}"}, ensure_ascii=False) + "\n")


def make_pipeline(path: Path) -> Path:
    """RETURNS (Path): A pipeline with spaCy's tokenizer and a rule."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "X", "pattern": [{"IS_UPPER": True}]}])
    nlp.to_disk(path)
    return path


def read_numbers(output: Path) -> Iterator[list[int]]:
    """YIELDS (list[int]): The numbers in each output file."""
    for path in sorted(output.rglob("*.spacy")):
        yield [int(doc[-1].text) for doc in DocBin().from_disk(path).get_docs(Vocab())]


def plain(pipeline: Path, corpus: Path, output: Path, shard_size: int) -> None:
    """The same work without any machinery, in one process with one file per shard."""
    nlp = spacy.load(pipeline)
    output.mkdir()
    for path in sorted(corpus.glob("*.jsonl")):
        with path.open(encoding="utf8") as lines:
            for number in itertools.count():
                texts = [json.loads(line)["text"] for line in itertools.islice(lines, shard_size)]
                if not texts:
                    break
                box = DocBin()
                with nlp.memory_zone():
                    for doc in nlp.pipe(texts):
                        box.add(doc)
                    box.to_disk(output / f"{path.stem}-{number}.spacy")


def time_ways(
    pipeline: Path, corpus: Path, work: Path, n_docs: int, shard_size: int, turns: int, chosen: Sequence[str]
) -> None:
    """Print the Docs per second of each way, as medians of the rounds: of all the time, and without start and end."""
    ways: dict[str, Callable[[Path], object]] = {
        PLAIN: lambda out: plain(pipeline, corpus, out, shard_size),
        "apply, this process": lambda out: apply_pipeline(pipeline, corpus, out, shard_size=shard_size),
    }
    for n in (1, 2):
        ways[f"apply, {n} processes"] = lambda out, n=n: apply_pipeline(
            pipeline, corpus, out, shard_size=shard_size, engine=Processes(n)
        )
        ways[f"apply, {n} actors of Ray"] = lambda out, n=n: apply_pipeline(
            pipeline, corpus, out, shard_size=shard_size, engine=RayActors(n)
        )
    ways = {way: run for way, run in ways.items() if not chosen or way in (PLAIN, *chosen)}
    speeds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(turns):
        for number, (way, run) in enumerate(ways.items()):
            output = work / f"out-{turn}-{number}"
            start = time.perf_counter()
            run(output)
            speeds[way].append((n_docs / (time.perf_counter() - start), running_speed(output, shard_size)))
    columns = {
        way: [statistics.median(column) for column in zip(*pairs, strict=True)]
        for way, pairs in speeds.items()
    }
    print(f"{'Docs/s':<26}{'with start':>12}{'of plain':>10}{'running':>12}{'of plain':>10}")
    for way, (whole, running) in columns.items():
        shares = [mine / plain for mine, plain in zip((whole, running), columns[PLAIN], strict=True)]
        print(f"{way:<26}{whole:>12,.0f}{shares[0]:>10.2f}{running:>12,.0f}{shares[1]:>10.2f}")


def running_speed(output: Path, shard_size: int) -> float:
    """RETURNS (float): Docs per second between the first full shards, one for each worker, and the last file."""
    written = sorted(path.stat().st_mtime for path in output.rglob("*.spacy"))
    return (len(written) - SKIPPED) * shard_size / (written[-1] - written[SKIPPED - 1])


def kill_at_random(
    pipeline: Path, corpus: Path, output: Path, n_docs: int, shard_size: int, kills: int
) -> None:
    """Run the command on Ray. Kill a worker or the run in turn, at random moments, and continue until all is done."""
    command = [
        sys.executable,
        "-m",
        "spacy",
        "bloom",
        "apply",
        pipeline,
        corpus,
        output,
        "--ray",
        "--n-process",
        2,
    ]
    draw = random.Random(0)
    killed = {"worker": 0, "run": 0}
    starts = 0
    code = None
    while code != 0:
        process = subprocess.Popen(
            [*map(str, command), "--shard-size", str(shard_size)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        starts += 1
        n_before = len(list(output.rglob("*.spacy")))
        while process.poll() is None and sum(killed.values()) < kills:
            # Only once there is something to lose, because starting takes longer than a shard.
            if len(list(output.rglob("*.spacy"))) == n_before:
                time.sleep(0.2)
                continue
            time.sleep(draw.uniform(0.2, 3))
            what = "run" if killed["worker"] > killed["run"] else "worker"
            killed[what] += _kill(process, what, draw)
        code = process.wait()
        if code == 1 and starts > 3 * kills + 3:
            raise SystemExit(process.stderr.read().decode())
        stop = [Path(sys.executable).with_name("ray"), "stop", "--force"]
        subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    files = list(read_numbers(output))
    numbers = [number for file in files for number in file]
    assert sorted(numbers) == list(range(n_docs)), (
        f"{len(numbers)} Docs, {len(set(numbers))} of them distinct"
    )
    assert all(file == sorted(file) for file in files)
    print(
        f"{n_docs:,} Docs, each once and in order, in {len(files):,} files; {starts} starts, killed: {killed}"
    )


def _kill(process: subprocess.Popen[bytes], what: str, draw: random.Random) -> int:
    victims = [process.pid]
    if what == "worker":
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            victims = [one.pid for one in children if "ray::_Actor" in " ".join(_command(one))]
    if not victims:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(draw.choice(victims), signal.SIGKILL)
        return 1
    return 0


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=6, help="most words of each text, of 8 characters")
    parser.add_argument("--shard-size", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--ways", nargs="+", default=[], help="rows of the table, beside the plain loop (all)"
    )
    parser.add_argument(
        "--kills", type=int, default=0, help="number of kills; if set, times are not measured"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_corpus(arguments.folder, work / "corpus", arguments.docs, arguments.words)
        pipeline = make_pipeline(work / "pipeline")
        sizes = (arguments.docs, arguments.shard_size)
        if arguments.kills:
            kill_at_random(pipeline, work / "corpus", work / "out", *sizes, arguments.kills)
        else:
            time_ways(pipeline, work / "corpus", work, *sizes, arguments.turns, arguments.ways)


if __name__ == "__main__":
    main()
