"""`bloom train` on one and on two ranks, and with a rank that fails. Arguments: a config, and a folder to write to."""

import contextlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import spacy
import torch
import torch.distributed as dist
from forking import fork_ranks
from spacy.util import registry
from thinc.api import Model, NumpyOps

from spacy_bloom.cli.train.gradient_sums import ThincWeight, TorchWeight, add_up
from spacy_bloom.cli.train_pipeline import train_on_ranks
from spacy_bloom.parallel.ranks import join_ranks, leave_ranks, rank, ranks_together

CONFIG, OUT = (Path(path) for path in sys.argv[1:])
ENDED = OUT / "ended"
FAULTS = {"killed": 1, "raises": 1, "hangs": 1, "first killed": 0}  # by kind, the rank that fails


@registry.callbacks("fault.v1")
def make_fault(kind=""):
    def fail(nlp, step):
        if kind and rank() == FAULTS[kind] and step["step"] == 3:
            if kind == "raises":
                raise ValueError("This is what is wrong.")
            if kind == "hangs":
                _wait_for_the_other()
            os.kill(os.getpid(), signal.SIGKILL)

    return fail


def _wait_for_the_other():
    """Hang until the other rank has ended, which it does only if it does not wait for this one."""
    end = time.monotonic() + 60
    while not ENDED.exists():
        if time.monotonic() > end:
            os._exit(5)
        time.sleep(0.05)


def train(name, **overrides):
    timeout = overrides.pop("timeout", 60)
    try:
        with ranks_together(timeout=timeout) as number, contextlib.redirect_stdout(io.StringIO()) as heard:
            log = {} if number else {"training.logger.output_file": str(OUT / f"{name}.jsonl")}
            train_on_ranks(CONFIG, OUT / name, use_gpu=-1, overrides={**log, **overrides})
    finally:
        if os.environ["RANK"] == "0" and name == "hangs":
            ENDED.touch()
    return heard.getvalue()


def _listed(grad):
    if grad.is_sparse:
        return {"rows": grad.indices()[0].tolist(), "values": grad.values().flatten().tolist()}
    return grad.flatten().tolist()


def sums():
    """Gradients that both ranks have, one has, and none has; in float32, in half precision, of thinc."""
    join_ranks(timeout=60)
    weights = []
    for dtype, owners in ((torch.float32, (0, 1)), (torch.bfloat16, (1,)), (torch.float32, ())):
        weights.append(TorchWeight(torch.nn.Parameter(torch.ones(2, 3, dtype=dtype))))
        if rank() in owners:
            weights[-1].put(torch.full((6,), rank() + 1.0))
    # Rows 0 and 3 are read by the first rank, 2 (of a zero gradient) and 3 by the second.
    weights.append(TorchWeight(torch.nn.Parameter(torch.ones(5, 2))))
    rows = ([[0, 3]], [[1.0, 1.0], [2.0, 2.0]]) if rank() == 0 else ([[3, 2]], [[3.0, 3.0], [0.0, 0.0]])
    weights[-1].parameter.grad = torch.sparse_coo_tensor(*rows, (5, 2))
    node = Model("node", lambda *a: a, params={"b": NumpyOps().alloc1f(2)})
    weights.append(ThincWeight(node, "b"))
    if rank() == 0:
        weights[-1].put(torch.tensor([3.0, 4.0]))
    add_up(weights, 7)
    found = [None if w.grad is None else _listed(w.grad) for w in weights]
    try:
        add_up(weights, 7 + rank())
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    dist.barrier()
    leave_ranks()
    return found


if __name__ == "__main__":
    spacy.blank("xx")  # imports all that is registered, once for all ranks
    report = {
        "one": fork_ranks(1, train, "one"),
        "two": fork_ranks(2, train, "two"),
        "sums": fork_ranks(2, sums),
    }
    for kind in FAULTS:
        overrides = {"training.before_update.kind": kind, "timeout": 8 if kind == "hangs" else 60}
        report[kind] = fork_ranks(2, lambda kind=kind, o=overrides: train(kind, **o))
    print(json.dumps(report))
