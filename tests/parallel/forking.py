"""Ranks as forks of one process, which has imported torch once. For scripts in processes of their own: that of tests
may hold threads that a fork loses.
"""

import multiprocessing
import os
import pickle
import socket
import time

import torch

from spacy_bloom.parallel.ranks import exit_of_rank

FORK = multiprocessing.get_context("fork")


def fork_ranks(n, function, *args):
    """Run a function on so many ranks.

    RETURNS (tuple): By rank, the exit code, seconds until the end, and what the function returned.
    """
    torch.set_num_threads(1)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    receivers, processes = [], []
    start = time.monotonic()
    for rank in range(n):
        receiver, sender = FORK.Pipe(duplex=False)
        processes.append(FORK.Process(target=_run, args=(rank, n, port, sender, function, args)))
        processes[-1].start()
        sender.close()
        receivers.append(receiver)
    results = [_received(receiver) for receiver in receivers]
    seconds = []
    for process in processes:
        process.join()
        seconds.append(time.monotonic() - start)
    return [process.exitcode for process in processes], seconds, results


def _run(rank, n, port, sender, function, args):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(n), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = exit_of_rank(lambda: sender.send_bytes(pickle.dumps(function(*args))))
    sender.close()
    os._exit(code)


def _received(receiver):
    try:
        return pickle.loads(receiver.recv_bytes())  # tensors by value: their process is gone
    except EOFError:
        return None
