"""The same trainings in one process here, and on ranks in a script."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from trainings import TRAININGS, make_model, make_trainer, run  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def fsdp2():
    if not (Path(torch.__file__).parent / "distributed" / "fsdp" / "_fully_shard").exists():
        pytest.skip(f"torch {torch.__version__} does not have FSDP2 yet.")


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tokenizer, make_lines):
    path = tmp_path_factory.mktemp("texts")
    tokenizer.save_pretrained(path / "tokenizer")
    for name, n in {"big": 60, "small": 12}.items():
        (path / f"{name}.txt").write_text("\n".join(make_lines(n, seed=n)), encoding="utf8")
    return path


@pytest.fixture(scope="session")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def alone(folder, out):
    """By kind, what one process finds. Its state after three steps is kept."""
    found = {}
    for kind in TRAININGS:
        trainer = make_trainer(kind, folder, out / f"{kind} alone", make_model(kind))
        found[kind] = run(trainer, stop=3)
        if kind == "adamw":
            for use in ("of one", "of one, kept"):
                shutil.copytree(out / "adamw alone", out / use)
        trainer.stopping = False
        found[kind]["more"] = run(trainer)
        found[kind]["weights"] = {name: p.detach() for name, p in trainer.model.named_parameters()}
    return found


@pytest.fixture(scope="session")
def report(alone, folder, out, run_ranks):
    """What the ranks of the script have found."""
    found, errors = run_ranks(HERE / "ranks_report.py", folder, out)
    assert found["codes"] == [0] * 5, errors
    return found


@pytest.fixture(scope="session")
def resume_alone(folder, out):
    """A function that goes on with the state of two ranks in one process."""

    def resume(kind):
        torch.manual_seed(99)  # whatever another process would have
        trainer = make_trainer(kind, folder, out / f"{kind} for one", make_model(kind))
        trainer.resume()
        return trainer, run(trainer)

    return resume
