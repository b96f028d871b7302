import pytest
import torch
from safetensors.torch import load_file

EXACT = ("adamw", "muon", "masked", "untied")


@pytest.mark.parametrize("kind", EXACT)
def test_losses_and_evaluations_are_those_of_one_process(alone, report, kind):
    for rank in report["two"]:
        for part, expected in ((rank[kind], alone[kind]), (rank[kind]["more"], alone[kind]["more"])):
            assert part["losses"][1:] == pytest.approx(expected["losses"][1:], abs=1e-5)
            assert part["bpb"] == pytest.approx(expected["bpb"], abs=1e-5)


@pytest.mark.parametrize("kind", EXACT)
def test_the_checkpoint_is_that_of_one_process(alone, report, out, difference, kind):
    written = load_file(out / kind / "model" / "model.safetensors")
    assert written.keys() == alone[kind]["weights"].keys()
    for name, expected in alone[kind]["weights"].items():
        # An element that hardly learns takes a step of Adam's by the sign of its gradient.
        assert torch.allclose(written[name], expected, atol=2e-5), name


def test_weights_are_divided(report):
    held = [rank["adamw"]["held"] for rank in report["two"]]
    assert sum(held) == 301 * 18 + 2 * 18 + 2 * (12 * 18**2 + 13 * 18) + 2 * 18
    assert max(held) <= 0.51 * sum(held)


def test_bfloat16_is_for_passes_and_not_for_what_learns(alone, report):
    found, expected = (r["bfloat16"]["more"]["losses"][1:] for r in (report["two"][0], alone))
    assert report["two"][0]["bfloat16"]["dtypes"] == ["torch.float32"]
    assert found == pytest.approx(expected, abs=0.03) and found != pytest.approx(expected, abs=1e-4)


def test_the_first_rank_has_the_clock_and_any_can_stop(report):
    assert [rank["decisions"] for rank in report["two"]] == [[5.0, True], [5.0, True]]
