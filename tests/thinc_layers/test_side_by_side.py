import threading

import pytest
import torch

from spacy_bloom.thinc_layers.side_by_side import LEAST_PIECES, count_workers, run_side_by_side

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_workers(n_threads):
    assert count_workers(0, 2048, CPU) == count_workers(2 * LEAST_PIECES - 1, 2048, CPU) == 1
    assert count_workers(10**6, 1, CPU) == 1
    assert count_workers(10**6, 2 * LEAST_PIECES, CPU) == min(n_threads, 2)
    assert count_workers(10**6, 10**6, CPU) == n_threads
    assert count_workers(10**6, 10**6, torch.device("cuda")) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_in_order_with_a_share_of_the_threads(n_threads, workers):
    seen = []

    def square(x):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return (x * x, float((torch.full((300, 300), float(x)) @ torch.ones(300, 300))[0, 0]))

    found = run_side_by_side(square, range(10), workers)
    assert found == [(x * x, 300.0 * x) for x in range(10)]
    share = n_threads if workers == 1 else max(1, n_threads // workers)
    assert {n for _, n in seen} == {share}
    assert (threading.get_ident() in {i for i, _ in seen}) == (workers == 1)
    assert torch.get_num_threads() == n_threads


def test_an_error_comes_through_and_the_threads_come_back(n_threads):
    def fail(x):
        raise ValueError(f"no {x}")

    with pytest.raises(ValueError, match="no 0"):
        run_side_by_side(fail, range(4), 2)
    assert torch.get_num_threads() == n_threads
