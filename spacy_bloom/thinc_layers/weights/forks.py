"""Threads in a forked process."""

import os

import torch

_process = os.getpid()


def settle_in_fork() -> None:
    """Compute with one thread in a forked process: the parent's threads do not exist there, and waiting for them would
    never end. `nlp.pipe(n_process=...)` forks, and is meant for one process per core.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
