"""How two ranks end when all goes well, and when one raises, is killed or hangs."""

import json
import os
import signal
import time

import torch
import torch.distributed as dist
from forking import fork_ranks

from spacy_bloom.errors import InputError
from spacy_bloom.parallel.ranks import first_tensor, from_first, n_ranks, rank, ranks_together

TIMEOUT = 3


def work(fault):
    with ranks_together(timeout=TIMEOUT) as own:
        found = [rank(), n_ranks(), from_first(f"of {own}"), first_tensor(torch.tensor([own + 5])).item()]
        for step in range(4):
            if step == 2 and own == 1:
                FAULTS[fault]()
            dist.all_reduce(torch.ones(2))
    return [*found, dist.is_initialized()]


def fail():
    raise InputError("This is what is wrong.")


FAULTS = {
    "none": lambda: None,
    "raises": fail,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": lambda: time.sleep(1.5 * TIMEOUT),
}

if __name__ == "__main__":
    report = {}
    for fault in FAULTS:
        codes, seconds, results = fork_ranks(2, work, fault)
        report[fault] = {"codes": codes, "seconds": seconds[0], "results": results}
    print(json.dumps(report))
