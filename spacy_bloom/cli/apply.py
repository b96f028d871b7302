"""`python -m spacy bloom apply`: a trained pipeline over a corpus."""

from functools import partial
from pathlib import Path
from typing import Callable, Optional

from spacy.cli._util import Arg, Opt, import_code
from tqdm import tqdm
from wasabi import msg

from ..applying.apply import Applied, apply_pipeline
from ..applying.engines import Engine, InProcess, Processes
from ..applying.lock_step import LockStep, follow_first
from ..applying.ray_actors import RayActors
from ..errors import InputError
from ..parallel.pipelines import tensor_parallel_pipelines
from .failures import check_folder
from .inputs import find_pipeline


def apply_cli(
    pipeline: str = Arg(..., help="Trained pipeline: a directory, a package or a bundled name"),
    texts: Path = Arg(..., help="A .txt file (one text a line), .jsonl, .spacy or .parquet, or a folder of these", exists=True),
    output: Path = Arg(..., help="Folder for the annotated Docs; what it has already is not done again"),
    n_process: int = Opt(1, "--n-process", "-N", help="Processes, or actors of Ray", min=1),
    ray: bool = Opt(False, "--ray", "-r", help="Work on Ray, on this machine if there is no --ray-address (pip install spacy-bloom[ray])"),
    ray_address: Optional[str] = Opt(None, "--ray-address", help="Address of a cluster, or auto"),
    gpus: float = Opt(0.0, "--gpus", help="GPUs for each actor of Ray, also parts of one", min=0.0),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU to use without Ray, or -1 for the CPU"),
    shard_size: int = Opt(1000, "--shard-size", "-s", help="Texts in a file of the output", min=1),
    batch_size: Optional[int] = Opt(None, "--batch-size", "-B", help="Docs in a batch [default: the pipeline's]", min=1),
    format: str = Opt("spacy", "--format", "-f", help="spacy, or jsonl for spaCy's JSON, a Doc a line"),
    text_key: str = Opt("text", "--text-key", "-K", help="Name of the text in records"),
    timeout: Optional[float] = Opt(None, "--timeout", help="Seconds for a shard, after which its process is ended; with several processes or Ray", min=0.0),
    code_path: Optional[Path] = Opt(None, "--code", "-c", help="Python file with functions that the pipeline names; not with several processes or Ray"),
    force: bool = Opt(False, "--force", "-F", help="Begin anew where the folder was made from something else"),
    tensor_parallel: bool = Opt(False, "--tensor-parallel", "-T", help="Divide the pipeline's models among the processes that torchrun started"),
    rank_timeout: float = Opt(600.0, "--rank-timeout", help="Seconds after which a rank that does not answer ends all; with --tensor-parallel", min=1.0),
) -> None:  # fmt: skip
    """
    Annotate a corpus of any size. Texts are taken in shards, and each shard
    becomes one file, which is complete when it has its name: a run that was
    ended goes on where it was. A shard that fails three times is reported and
    left, the rest is done, and the exit code is 1.
    """
    check_folder(output)
    if code_path and (ray or n_process > 1):
        raise InputError("Expected no --code with several processes: install the functions as a package.")
    import_code(code_path)
    engine = _choose_engine(n_process, ray or ray_address is not None, ray_address, gpus)
    if tensor_parallel and not isinstance(engine, InProcess):
        raise InputError(
            "Expected --tensor-parallel without --n-process and --ray: torchrun starts the processes."
        )
    if gpu_id >= 0 and not isinstance(engine, InProcess):
        raise InputError("Expected no --gpu-id with several processes: use --ray and --gpus.")
    apply = partial(
        apply_pipeline,
        find_pipeline(pipeline) or pipeline,
        texts,
        output,
        shard_size=shard_size,
        format=format,
        text_key=text_key,
        batch_size=batch_size,
        timeout=timeout,
        gpu_id=gpu_id,
        force=force,
        begin=_begin_bar,
    )
    applied = _apply_in_lock_step(apply, rank_timeout) if tensor_parallel else apply(engine=engine)
    if applied is not None:
        _report(applied, output)


def _apply_in_lock_step(apply: Callable[..., Applied], timeout: float) -> Optional[Applied]:
    """RETURNS (Applied | None): What was done, on the first rank, which writes."""
    with tensor_parallel_pipelines(timeout=timeout) as rank:
        if rank == 0:
            return apply(engine=LockStep())
        follow_first()
    return None


def _choose_engine(n_process: int, ray: bool, address: Optional[str], gpus: float) -> Engine:
    if ray:
        return RayActors(n_process, address=address, gpus=gpus)
    if gpus:
        raise InputError("Expected --ray with --gpus.")
    return InProcess() if n_process == 1 else Processes(n_process)


def _begin_bar(total: int, done: int) -> Callable[[int], object]:
    return tqdm(total=total, initial=done, unit=" docs", disable=None).update


def _report(applied: Applied, output: Path) -> None:
    for failure in applied.failures:
        msg.warn(f"{failure.source}, shard {failure.number} ({failure.n_docs} texts)", failure.error)
    before = f"; {applied.n_before:,} files were there" if applied.n_before else ""
    msg.good(f"{applied.n_docs:,} Docs in {applied.n_shards:,} files in {output}{before}")
    if applied.failures:
        n_lost = sum(failure.n_docs for failure in applied.failures)
        raise InputError(
            f"{len(applied.failures)} shards with {n_lost:,} texts failed three times; {output}/failed.json lists them. "
            "Mend what they report and run the command again: only they are done."
        )
