import pytest
import torch

from spacy_bloom import BloomModel
from spacy_bloom.finetuning.lora import LoraSettings, add_lora
from spacy_bloom.thinc_layers.weights.digest import WeightsDigest


def test_equal_weights_are_equal_anywhere(checkpoint):
    one, other = (BloomModel.from_pretrained(checkpoint) for _ in range(2))
    assert WeightsDigest().of(one, None) == WeightsDigest().of(other, None)


CHANGES = {
    "in place": lambda m: m.ln_f.bias.add_(1.0),
    "another tensor": lambda m: setattr(m.ln_f.bias, "data", m.ln_f.bias.data + 1.0),
    "adapters": lambda m: add_lora(m, LoraSettings(r=2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_noticed(checkpoint, change):
    model, digest = BloomModel.from_pretrained(checkpoint), WeightsDigest()
    before = digest.of(model, None)
    assert digest.of(model, None) == before
    with torch.no_grad():
        CHANGES[change](model)
    assert digest.of(model, LoraSettings(r=2)) != before


def test_other_dtypes_are_other_weights(checkpoint):
    digests = {
        WeightsDigest().of(BloomModel.from_pretrained(checkpoint, dtype=d), None)
        for d in ("float32", "bfloat16")
    }
    assert len(digests) == 2


def test_what_leaves_no_trace_must_be_said(checkpoint):
    model, digest = BloomModel.from_pretrained(checkpoint), WeightsDigest()
    before = digest.of(model, None)
    model.ln_f.bias.detach().numpy()[:] += 1.0
    digest.forget()
    assert digest.of(model, None) != before
