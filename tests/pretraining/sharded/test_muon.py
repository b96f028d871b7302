import pytest
import torch


def test_resumed_by_three_ranks_muon_steps_as_in_one_process(alone, report):
    expected = alone["muon"]["more"]
    for rank in report["three"]:
        assert rank["muon"]["losses"][1:] == pytest.approx(expected["losses"][1:], abs=1e-5)


def test_steps_are_those_of_whole_matrices(alone, report, out):
    from safetensors.torch import load_file

    name = "transformer.h.1.self_attention.query_key_value.weight"
    written = load_file(out / "muon" / "model" / "model.safetensors")[name]
    expected = alone["muon"]["weights"][name]
    assert torch.allclose(written, expected, atol=1e-5)
