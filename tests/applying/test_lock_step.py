from pathlib import Path

import pytest

from spacy_bloom.applying import InProcess, apply_pipeline
from spacy_bloom.applying.lock_step import LockStep, annotate_together
from spacy_bloom.errors import RankError

from .conftest import read_output

HERE = Path(__file__).parent


def test_ranks_annotate_a_corpus_together(ruled, corpus, tmp_path, run_ranks):
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text("".join('{"text": "Lima"}\n' for _ in range(8)) + "{}\n", encoding="utf8")
    report, errors = run_ranks(HERE / "lock_step_report.py", ruled, corpus, damaged, tmp_path)
    apply_pipeline(ruled, corpus, tmp_path / "one", engine=InProcess(), shard_size=8)
    expected = [doc.to_json() for doc in read_output(tmp_path / "one")]
    for name in ("whole", "killed"):
        assert [doc.to_json() for doc in read_output(tmp_path / name)] == expected
    assert report["whole"] == {"codes": [0, 0], "first": [9, []], "files": 9}
    assert report["damaged"]["codes"] == [0, 0] and report["damaged"]["first"][0] == 1
    assert "row 9" in report["damaged"]["first"][1][0]
    # What was written before a rank was gone is whole, and is not done again.
    written = report["killed"]["files"]
    assert report["killed"]["codes"] == [1, -9] and 2 <= written < 9
    assert report["resumed"] == {"codes": [0, 0], "first": [9 - written, []], "files": 9}
    assert "Rank 0 lost another process" in errors


def test_a_rank_that_is_gone_is_no_failure_of_a_shard():
    def gone(shard):
        raise RankError("It is gone.")

    with pytest.raises(RankError):
        annotate_together(gone, None)
    with pytest.raises(NotImplementedError):
        LockStep().renew(0)
