"""A command that torchrun starts on several ranks: they meet, one of them speaks, each has its own device."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

import torch

from ...errors import InputError
from ...parallel.ranks import is_launched, n_ranks, ranks_together


@contextmanager
def on_ranks(timeout: float) -> Iterator[bool]:
    """Meet the other ranks, if there are any, and be silent unless this is the first. Errors are heard from all.

    timeout (float): Seconds to wait for a rank that does not answer.
    YIELDS (bool): Whether this process is the first, or the only one.
    """
    if not is_launched():
        yield True
        return
    with ranks_together(timeout=timeout) as rank, ExitStack() as outputs:
        if rank:
            nowhere = outputs.enter_context(open(os.devnull, "w", encoding="utf8"))
            outputs.enter_context(redirect_stdout(nowhere))
        yield rank == 0


def start_of_command() -> str:
    """RETURNS (str): How this process was started, before the module's name."""
    return f"torchrun --nproc-per-node {n_ranks()}" if is_launched() else "python"


def find_device(use_gpu: int) -> str:
    """use_gpu (int): Number of a GPU, of the host's first rank if there are several; -1 for the CPU.
    RETURNS (str): This process's device.
    RAISES (InputError): There are fewer GPUs.
    """
    if use_gpu < 0:
        return "cpu"
    number = use_gpu + int(os.environ.get("LOCAL_RANK", 0) if is_launched() else 0)
    if number >= torch.cuda.device_count():
        raise InputError(
            f"There is no GPU {number}: {torch.cuda.device_count()} found. Leave --gpu-id out, or start fewer ranks."
        )
    torch.cuda.set_device(number)  # what FSDP and the process group take for this process
    return f"cuda:{number}"
