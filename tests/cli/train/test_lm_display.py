"""Rows appear with evaluations, and the speed is that of training alone."""

import pytest

from spacy_bloom.cli.train import lm_display
from spacy_bloom.cli.train.lm_display import LMDisplay
from spacy_bloom.pretraining.evaluation import Evaluation
from spacy_bloom.pretraining.loop import StepReport


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(lm_display.time, "monotonic", lambda: now[0])
    return now


def report(step, n_pieces, evaluation=None):
    return StepReport(step=step, n_pieces=n_pieces, loss=2.5, fraction=step / 10, evaluation=evaluation)


def test_a_row_for_every_evaluation(capsys):
    with LMDisplay(0.0) as display:
        display.show(report(1, 1000))
        display.show(report(2, 2000, Evaluation(bpb=1.25, bpb_by_file={"en": 1.25}, is_best=True)))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows == [["STEP", "PIECES", "LOSS", "BPB"], ["2", "2,000", "2.500", "1.2500", "best"]]


def test_the_speed_leaves_evaluation_out(clock):
    with LMDisplay(0.0) as display:
        for step, seconds, evaluation in (
            (1, 1.0, None),
            (2, 2.0, None),
            (3, 99.0, "slow"),
            (4, 100.0, None),
        ):
            clock[0] = seconds
            evaluation = evaluation and Evaluation(bpb=1.0, bpb_by_file={}, is_best=False)
            display.show(report(step, 500 * step, evaluation))
        assert display.speed == pytest.approx(500)
