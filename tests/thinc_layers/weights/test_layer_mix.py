import numpy
import pytest
import torch
from safetensors.torch import save
from thinc.api import Adam

from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.finetuning.lora import LoraSettings
from spacy_bloom.thinc_layers.architectures import create_transformer_model
from spacy_bloom.thinc_layers.weights.layer_mix import LayerMix
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

IDS, LENGTHS = torch.arange(3, 12), [4, 5]
N_LAYER = 2


def draw(mix):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in mix.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return mix


@pytest.fixture
def make(checkpoint):
    """A function that makes a shim whose mixture is not the mean."""

    def build(**options):
        shim = shim_of(checkpoint, mix_layers=True, **options)
        shim.load()
        draw(shim.encoder.layer_mix)
        return shim

    return build


def shim_of(name, **learning):
    return BloomShim(WeightSettings(name), learning=LearningSettings(**learning))


def run(shim):
    return shim.predict((IDS, LENGTHS))


def train(shim, steps=3):
    optimizer = Adam(0.02)
    for _ in range(steps):
        hidden, backprop = shim.begin_update((IDS, LENGTHS))
        backprop(hidden.detach() * 0.1)
        shim.finish_update(optimizer)
    return shim


def test_it_is_the_plain_sum(make, difference):
    shim = make()
    expected = torch.zeros(9, 32)
    exponents = [float(value) for value in shim.encoder.layer_mix.weights.detach().exp()]
    for start, length in ((0, 4), (4, 5)):
        with torch.no_grad():
            output = shim.module(IDS[None, start : start + length], output_hidden_states=True)
        for exponent, state in zip(exponents, output.hidden_states, strict=True):
            part = float(shim.encoder.layer_mix.scale.detach()) * exponent / sum(exponents) * state[0]
            expected[start : start + length] += part
    assert difference(run(shim), expected) < 1e-5
    assert difference(shim.begin_update((IDS, LENGTHS))[0], expected) < 1e-5


def test_it_starts_as_the_mean(checkpoint, difference):
    shim = shim_of(checkpoint, mix_layers=True)
    with torch.no_grad():
        states = shim.module.hidden_states_packed(IDS, LENGTHS)
    assert difference(run(shim), torch.stack(states).mean(dim=0)) < 1e-6


def test_gradients():
    mix = draw(LayerMix(N_LAYER)).double()
    states = [torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(N_LAYER + 1)]

    def compute(weights, scale, *states):
        values = {"weights": weights, "scale": scale}
        return torch.func.functional_call(mix, values, (states,))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", lambda self: self)  # float32 is too coarse for differences
        assert torch.autograd.gradcheck(compute, (mix.weights, mix.scale, *states))


def test_everything_learns(make):
    shim = make()
    before = {
        n: p.detach().clone()
        for n, p in [*shim.module.named_parameters(), *shim.encoder.layer_mix.named_parameters()]
    }
    train(shim)
    after = dict([*shim.module.named_parameters(), *shim.encoder.layer_mix.named_parameters()])
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("options", [{"train_transformer": False}, {"trainable_layers": 0}])
def test_it_learns_where_the_transformer_does_not(make, options):
    """Nothing of the transformer is recorded, and its dropout is off."""
    shim = make(**options)
    for block in shim.module.h:
        block.mlp.hidden_dropout = 0.5
    recorded = []
    for block in shim.module.h:
        block.register_forward_pre_hook(lambda *_: recorded.append(torch.is_grad_enabled()))
    before = {name: p.detach().clone() for name, p in shim.module.named_parameters()}
    mix = {name: p.detach().clone() for name, p in shim.encoder.layer_mix.named_parameters()}
    torch.testing.assert_close(shim.begin_update((IDS, LENGTHS))[0], run(shim))
    recorded.clear()
    train(shim)
    assert recorded == [False] * 6
    assert all(torch.equal(before[name], p) for name, p in shim.module.named_parameters())
    assert all(not torch.equal(mix[name], p) for name, p in shim.encoder.layer_mix.named_parameters())


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2)])
def test_disk_and_bytes(make, tmp_path, lora):
    shim = train(make(lora=lora))
    expected = run(shim)
    shim.to_disk(tmp_path)
    for loaded in (
        shim_of("no-such-checkpoint", mix_layers=True).from_disk(tmp_path),
        shim_of("no-such-checkpoint", mix_layers=True).from_bytes(shim.to_bytes()),
    ):
        numpy.testing.assert_array_equal(run(loaded), expected)
    assert not torch.equal(run(shim_of("no-such-checkpoint").from_disk(tmp_path)), expected)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04N.", save({"weights": torch.zeros(9), "scale": torch.ones(1)}), save({})]
)
def test_damaged_files_are_refused(make, tmp_path, content):
    make().to_disk(tmp_path)
    (tmp_path / "layer_mix.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="mixed layers"):
        shim_of("no-such-checkpoint", mix_layers=True).from_disk(tmp_path)


def test_vectors_that_learn_are_not_reused(checkpoint):
    with pytest.raises(ConfigError, match="mix_layers = false"):
        create_transformer_model(checkpoint, train_transformer=False, mix_layers=True, reuse={})
