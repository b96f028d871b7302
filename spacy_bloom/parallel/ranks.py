"""The processes of one run: how they meet, what they agree on, and how all of them end when one fails.

torchrun starts them and ends the others once one has ended with an error. A process that waits for one that is gone is
told so by the connection; one that waits for one that hangs is told so by the time limit. The process group is always
the default one: another that is kept beyond its end can abort the process.
"""

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import InputError, RankError

TIMEOUT = 600.0  # seconds
LAST_TENSORS = 0.1  # seconds in which threads of older versions of torch let go of them
START = "torchrun --nproc-per-node N"
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
T = TypeVar("T")


def rank() -> int:
    """RETURNS (int): The number of this process; 0 if it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_ranks() -> int:
    """RETURNS (int): The number of processes that have met; 1 if this one is alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_launched() -> bool:
    """RETURNS (bool): Whether this process was started as one of several, by torchrun for instance."""
    return all(name in os.environ for name in VARIABLES)


def join_ranks(*, timeout: float | None = None) -> bool:
    """Meet the other processes, unless that has happened. They part when the process ends, or by `leave_ranks`.

    timeout (float | None): Seconds to wait for a process that does not answer, in each exchange; None for 600.
    RETURNS (bool): Whether they met now.
    RAISES (InputError): This process was not started as one of several, or the timeout is not above 0.
    RAISES (RankError): The others did not come.
    """
    limit = TIMEOUT if timeout is None else timeout
    if limit <= 0:
        raise InputError(f"Expected a timeout above 0 seconds, got {limit}.")
    if dist.is_initialized():
        return False
    if not is_launched():
        raise InputError(f"Expected one of several processes, got one alone. Start with `{START} ...`.")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with lost_ranks_named():
        dist.init_process_group(backend, timeout=timedelta(seconds=limit))
    atexit.register(leave_ranks)
    return True


def leave_ranks() -> None:
    """Part from the other processes, if they have met."""
    atexit.unregister(leave_ranks)
    if dist.is_initialized():
        if torch.__version__ < "2.9":
            # Its group joins its threads while it holds Python's lock, for which one that lets go of its last tensors
            # would wait for ever.
            time.sleep(LAST_TENSORS)
        dist.destroy_process_group()


@contextmanager
def ranks_together(*, timeout: float | None = None) -> Iterator[int]:
    """Run a block in all processes. Nobody leaves it before all have come to its end, so that what rank 0 has written
    is whole, or all of them end with an error.

    timeout (float | None): As for `join_ranks`.
    YIELDS (int): The number of this process.
    RAISES (RankError): Another process failed, is gone, or did not answer in time.
    """
    met = join_ranks(timeout=timeout)
    try:
        with lost_ranks_named():
            yield rank()
            dist.barrier()
    finally:
        if met:
            leave_ranks()


@contextmanager
def lost_ranks_named() -> Iterator[None]:
    """Inside, what torch says of connections that broke or waited too long becomes an error that says what it means."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        text = str(error)
        if isinstance(error, RankError) or not _is_about_ranks(error):
            raise
        first = text.splitlines()[0][:200]
        raise RankError(
            f"Rank {rank()} lost another process, which has failed, was ended, or did not answer in time. See the "
            f"error of the rank that failed first. ({first})"
        ) from error


def _is_about_ranks(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text or "TCPStore" in text


def exit_of_rank(command: Callable[[], None]) -> int:
    """Run what a process is for, and say how it ended.

    RETURNS (int): 0, or 1 after an error, which is on the standard error under the process's number.
    """
    try:
        command()
    except Exception as error:
        print(
            f"[rank {os.environ.get('RANK', 0)}] {type(error).__name__}: {error}", file=sys.stderr, flush=True
        )
        return 1
    return 0


def from_first(value: T) -> T:
    """RETURNS (T): Rank 0's value: small, and of plain Python types."""
    if n_ranks() == 1:
        return value
    held: list[Any] = [value]
    with lost_ranks_named():
        dist.broadcast_object_list(held, src=0)
    return held[0]


def first_tensor(value: Tensor) -> Tensor:
    """RETURNS (Tensor): Rank 0's tensor, in the memory of this one, which has its shape and dtype."""
    if n_ranks() > 1:
        with lost_ranks_named():
            dist.broadcast(value, src=0)
    return value
