"""Kills of a few processes, as the soak makes them by the hundred: what is on the disk is the old or the new, whole."""

import os
import signal
from functools import partial

import pytest
import spacy

from scripts.soak import _killing, faults
from scripts.soak.figures import Budget
from spacy_bloom.pipeline.saving import save_pipeline

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows forks no processes")


def blank(save, place):
    one, other = (spacy.blank(lang) for lang in ("xx", "en"))
    one.to_disk(place / "before")
    return faults.Replaced(
        place / "pipeline", lambda: save(other, place / "pipeline"), spacy.load
    ), place / "before"


def in_place(nlp, path):
    nlp.to_disk(path)


def kill(make, place):
    return faults.kill_replacing("kills", Budget(60.0, 6, 3, place), make, place)


def test_kills_leave_the_old_pipeline_or_the_new(tmp_path):
    figure = kill(partial(blank, save_pipeline), tmp_path)
    assert figure.tried == 6 and figure.found == [] and figure.notes.keys() <= {faults.OLD, faults.NEW}


def test_the_soak_sees_what_is_mixed(tmp_path):
    """`nlp.to_disk` alone promises nothing: a soak that finds nothing there would find nothing anywhere."""
    assert kill(partial(blank, in_place), tmp_path).found


def test_kills_leave_the_old_checkpoint_or_the_new(tmp_path):
    figure = kill(faults.converted, tmp_path)
    assert figure.tried == 6 and figure.found == []


def test_a_process_kills_itself_before_a_change(tmp_path):
    def work():
        (tmp_path / "a").write_text("1")
        (tmp_path / "b").write_text("2")

    counted = tmp_path.parent / f"{tmp_path.name}-counted"
    assert _killing.run_forked(work, root=tmp_path, counted=counted) == 0 and counted.read_text() == "2"
    for path in tmp_path.iterdir():
        path.unlink()
    assert _killing.run_forked(work, root=tmp_path, operation=2) == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_process_that_hangs_is_ended(tmp_path):
    pid = os.fork()
    if not pid:
        signal.pause()
    with pytest.raises(_killing.Hangs):
        _killing.wait_for(pid, 0.05)
