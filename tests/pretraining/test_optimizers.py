import pytest
import torch
from torch import nn

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.pretraining.optimizers import Muon, make_optimizers, orthogonal


def make_model():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=2))


def made(model, kind):
    return make_optimizers(model, kind, lr=0.1, betas=(0.9, 0.95), weight_decay=0.3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_parameter_learns_once_and_only_matrices_decay(kind):
    model = make_model()
    decay = [(p, g["weight_decay"]) for o in made(model, kind) for g in o.param_groups for p in g["params"]]
    assert len(decay) == len({id(p) for p, _ in decay}) == len(list(model.parameters()))
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter, value in decay:
        name = names[parameter]
        assert (value == 0) == (name.endswith("bias") or "layernorm" in name or "ln_f" in name)


def test_muon_has_the_matrices_of_the_blocks():
    model = make_model()
    _, muon = made(model, "muon")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    kinds = (
        "self_attention.query_key_value",
        "self_attention.dense",
        "mlp.dense_h_to_4h",
        "mlp.dense_4h_to_h",
    )
    assert found == {f"transformer.h.{i}.{kind}.weight" for i in range(2) for kind in kinds}


@pytest.mark.parametrize("shape", [(8, 8), (8, 32), (32, 8)])
def test_orthogonal(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonal(matrix)
    assert result.shape == shape and result.dtype == torch.float32
    values = torch.diagonal(u.T @ result @ v.T)
    assert ((values > 0.5) & (values < 1.3)).all()
    assert torch.allclose(u @ torch.diag(values) @ v, result, atol=1e-4)
    assert orthogonal(torch.zeros(shape)).eq(0).all()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with.")
@pytest.mark.parametrize("shape", [(8, 8), (8, 32), (24, 8)])
def test_steps_are_those_of_torch(shape):
    """Which computes in bfloat16: within its rounding."""
    torch.manual_seed(2)
    start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(4)]
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    torch_muon = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    muon = Muon([ours], lr=0.1, weight_decay=0.3)
    for gradient in gradients:
        for parameter, optimizer in ((ours, muon), (theirs, torch_muon)):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved, expected = (ours - start).detach(), (theirs - start).detach()
    assert (moved - expected).norm() < 0.03 * expected.norm()


def test_only_matrices_are_for_muon():
    with pytest.raises(ValueError, match=r"\[\(3,\)\]"):
        Muon([nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(3))], lr=0.1)


def test_what_has_no_gradient_stays():
    parameter = nn.Parameter(torch.ones(2, 2))
    Muon([parameter], lr=0.1).step()
    assert parameter.eq(1).all()
