"""Two ranks that annotate a corpus together: whole, with a shard that fails, and with a rank that is killed."""

import json
import os
import signal
import sys
from pathlib import Path

from forking import fork_ranks

from spacy_bloom.applying import apply_pipeline, lock_step
from spacy_bloom.parallel.pipelines import tensor_parallel_pipelines


def work(pipeline, corpus, output, killed_at=None):
    with tensor_parallel_pipelines(timeout=30) as rank:
        if rank == 0:
            applied = apply_pipeline(pipeline, corpus, output, engine=lock_step.LockStep(), shard_size=8)
            return applied.n_shards, [failure.error for failure in applied.failures]
        if killed_at is not None:
            die_at(killed_at)
        return lock_step.follow_first()


def die_at(number):
    annotate, calls = lock_step.annotate_together, []

    def dying(*args):
        calls.append(args)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return annotate(*args)

    lock_step.annotate_together = dying


if __name__ == "__main__":
    pipeline, corpus, damaged, out = map(Path, sys.argv[1:])
    runs = {
        "whole": (corpus, out / "whole"),
        "damaged": (damaged, out / "damaged"),
        "killed": (corpus, out / "killed", 3),
        "resumed": (corpus, out / "killed"),
    }
    report = {}
    for name, options in runs.items():
        codes, _, results = fork_ranks(2, work, pipeline, *options)
        report[name] = {
            "codes": codes,
            "first": results[0],
            "files": len([*out.glob(f"{options[1].name}/**/*.spacy")]),
        }
    print(json.dumps(report))
