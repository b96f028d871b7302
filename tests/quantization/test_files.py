"""Quantised checkpoints as files."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spacy_bloom import (
    BloomForCausalLM,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
)
from spacy_bloom.checkpoint.names import decoder_shapes
from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.quantization.quantize import quantize

IDS = torch.randint(600, (40,), generator=torch.Generator().manual_seed(3))


def with_outliers(model):
    with torch.no_grad():
        model.transformer.h[0].mlp.dense_4h_to_h.bias[5] = 60.0
    return model


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def quantized(request, tmp_path_factory, tiny_checkpoint):
    """A quantised model and the directory that it was saved to."""
    torch.manual_seed(0)
    model = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    if not request.param:
        model = BloomForCausalLM(model.config.replace(tie_word_embeddings=False)).eval()
    quantize(with_outliers(model))
    path = tmp_path_factory.mktemp("int8") / "checkpoint"
    model.save_pretrained(path)
    return model, path


def logits(model):
    with torch.no_grad():
        return model(IDS[None]).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, None])
def test_the_same_model_comes_back(quantized, dtype):
    model, path = quantized
    again = BloomForCausalLM.from_pretrained(path, dtype=dtype)
    assert torch.equal(logits(again), logits(model))
    assert again.transformer.h[0].mlp.dense_h_to_4h.weight.dtype == torch.int8
    assert again.dtype == torch.float32


def test_saved_again_it_has_the_same_bytes(quantized, tmp_path):
    _, path = quantized
    BloomForCausalLM.from_pretrained(path).save_pretrained(tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (path / name).read_bytes()


def test_files_hold_what_the_names_say(quantized):
    model, path = quantized
    with safe_open(path / "model.safetensors", framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    decoder = {n.removeprefix("transformer."): s for n, s in shapes.items() if not n.startswith("lm_head")}
    assert decoder == decoder_shapes(model.config)
    assert ("lm_head.weight" in shapes) is not model.config.tie_word_embeddings
    assert any(name.endswith("float_weight") for name in shapes)


def test_shards_and_half_precision_keep_integers_and_scales(quantized, tmp_path):
    model, _ = quantized
    model.save_pretrained(tmp_path, dtype=torch.float16, max_shard_size=20_000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = BloomForCausalLM.from_pretrained(tmp_path)
    # Layer norms and biases are rounded once more; a number that falls on another integer by it moves by a step.
    assert (logits(again) - logits(model)).norm() / logits(model).norm() < 5e-3
    scale = "h.0.mlp.dense_h_to_4h.weight_scale"
    assert torch.equal(again.transformer.get_parameter(scale), model.transformer.get_parameter(scale))


@pytest.mark.parametrize("kind", [BloomModel, BloomForTokenClassification])
def test_other_classes_read_the_decoder(quantized, kind):
    model, path = quantized
    with pytest.warns(UserWarning) if kind is not BloomModel else _nothing():
        other = kind.from_pretrained(path)
    decoder = getattr(other, "transformer", other)
    with torch.no_grad():
        assert torch.equal(
            decoder.encode_packed(IDS, [len(IDS)]), model.transformer.encode_packed(IDS, [len(IDS)])
        )


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_float_checkpoint_is_quantised_on_the_way_in(tiny_checkpoint):
    exact = logits(BloomForCausalLM.from_pretrained(tiny_checkpoint))
    found = logits(BloomForCausalLM.from_pretrained(tiny_checkpoint, quantization="int8"))
    assert 0 < (found - exact).norm() / exact.norm() < 0.05


def test_a_quantised_checkpoint_may_be_asked_for_as_such(quantized):
    model, path = quantized
    assert torch.equal(logits(BloomForCausalLM.from_pretrained(path, quantization="int8")), logits(model))


def test_classifiers_stay_in_float(tiny_checkpoint):
    with pytest.warns(UserWarning, match="random"):
        model = BloomForSequenceClassification.from_pretrained(tiny_checkpoint, quantization="int8")
    assert model.score.weight.dtype == torch.float32


def test_unknown_methods_are_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="int8.*got 'int3'"):
        BloomForCausalLM.from_pretrained(tiny_checkpoint, quantization="int3")
    shutil.copytree(tiny_checkpoint, tmp_path / "strange")
    config = json.loads((tmp_path / "strange" / "config.json").read_text(encoding="utf8"))
    for entry in ({"method": "int3"}, "int8", {"method": 8}):
        config["quantization"] = entry
        (tmp_path / "strange" / "config.json").write_text(json.dumps(config), encoding="utf8")
        with pytest.raises(ConfigError, match="got"):
            BloomForCausalLM.from_pretrained(tmp_path / "strange")


@pytest.mark.parametrize("damage", ["float", "missing", "scale", "shape"])
def test_files_that_are_not_what_the_config_says_are_refused(quantized, tmp_path, damage):
    _, path = quantized
    shutil.copytree(path, tmp_path / "damaged")
    file = tmp_path / "damaged" / "model.safetensors"
    weights = load_file(file)
    name = "transformer.h.0.mlp.dense_h_to_4h.weight"
    if damage == "float":
        weights[name] = weights[name].float()
    elif damage == "missing":
        del weights[name + "_scale"]
    elif damage == "scale":
        weights[name + "_scale"] = weights[name + "_scale"].int()
    else:
        weights[name] = weights[name][:-1].clone()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="dense_h_to_4h.weight"):
        BloomForCausalLM.from_pretrained(tmp_path / "damaged")
