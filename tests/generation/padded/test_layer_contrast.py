import pytest
import torch

from spacy_bloom.generation.padded.layer_contrast import LayerContrast, _candidates
from spacy_bloom.generation.padded.steps import Step


@pytest.mark.parametrize(
    "layers, n_layer, tied, expected",
    [
        ("low", 2, True, [1]),
        ("low", 2, False, [0]),
        ("low", 24, True, [2, 4, 6, 8, 10]),
        ("low", 70, True, list(range(2, 20, 2))),
        ("high", 24, True, list(range(12, 24, 2))),
        ("high", 70, True, list(range(50, 70, 2))),
        ([0, 1, 5], 3, True, [0, 1]),
    ],
)
def test_layers(layers, n_layer, tied, expected):
    assert _candidates(layers, n_layer, tied) == expected


@torch.no_grad()
def test_unlikely_pieces_are_left_out(language_model):
    out = language_model(torch.tensor([[5, 6, 7]]), output_hidden_states=True)
    step = Step(out.logits[:, -1], out.hidden_states, None)
    found = LayerContrast(language_model, [1])(step)
    likely = step.logits.softmax(-1) >= 0.1 * step.logits.softmax(-1).max()
    assert torch.equal(found.isfinite(), likely)
    early = language_model.lm_head.logits(out.hidden_states[1][:, -1]).log_softmax(-1)
    torch.testing.assert_close(found[likely], (step.logits.log_softmax(-1) - early)[likely])
