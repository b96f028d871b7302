import pytest
import torch.distributed as dist

from spacy_bloom.errors import InputError, RankError
from spacy_bloom.parallel.ranks import (
    VARIABLES,
    exit_of_rank,
    first_tensor,
    from_first,
    is_launched,
    join_ranks,
    lost_ranks_named,
    n_ranks,
    rank,
)


@pytest.fixture(scope="module")
def endings(run_report):
    return run_report("ranks_report.py")


def test_ranks_meet_agree_and_part(endings):
    report, _ = endings
    assert report["none"]["codes"] == [0, 0]
    assert report["none"]["results"] == [[0, 2, "of 0", 5, False], [1, 2, "of 0", 5, False]]


@pytest.mark.parametrize("fault, code", [("raises", 1), ("killed", -9), ("hangs", 1)])
def test_one_rank_that_fails_ends_the_others(endings, fault, code):
    report, _ = endings
    assert report[fault]["codes"] == [1, code]
    assert report[fault]["results"][0] is None


def test_errors_say_whose_they_are(endings):
    _, stderr = endings
    assert "[rank 1] InputError: This is what is wrong." in stderr
    assert stderr.count("[rank 0] RankError: Rank 0 lost another process") == 3


def test_a_process_alone(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert (rank(), n_ranks(), is_launched(), dist.is_initialized()) == (0, 1, False, False)
    assert from_first("own") == "own" and first_tensor("own") == "own"
    with pytest.raises(InputError, match="torchrun"):
        join_ranks()
    with pytest.raises(InputError, match="above 0"):
        join_ranks(timeout=0)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes") as caught, lost_ranks_named():
        raise RuntimeError("shapes do not fit")
    assert not isinstance(caught.value, RankError)
    with pytest.raises(RankError, match="lost another process"), lost_ranks_named():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer")


def test_exit_codes(capsys):
    assert exit_of_rank(lambda: None) == 0
    assert exit_of_rank(lambda: join_ranks(timeout=-1)) == 1
    assert "[rank 0] InputError" in capsys.readouterr().err
