import math

import pytest
import torch

from spacy_bloom.pretraining.data import (
    DataConfig,
    encode_file,
)
from spacy_bloom.pretraining.evaluation import evaluate

EOS = 2


def test_bits_per_byte_is_that_of_each_line_alone(make_model, texts, tokenizer):
    data = DataConfig(max_length=64, batch_pieces=128, held_back_every=5)
    files = [encode_file(text, tokenizer, data) for text in texts]
    model, bits, n_bytes = make_model().eval(), {}, {}
    for text in texts:
        bits[text.name] = 0.0
        n_bytes[text.name] = sum(len(line.encode()) for line in text.held_back)
        for ids in tokenizer(text.held_back)["input_ids"]:
            with torch.no_grad():
                logits = model(torch.tensor([[EOS, *ids]])).logits[0]
            bits[text.name] -= logits.log_softmax(-1)[range(len(ids)), ids].sum().item() / math.log(2)
    found = evaluate(model, files, data)
    assert found.bpb == pytest.approx(sum(bits.values()) / sum(n_bytes.values()), rel=1e-5)
    assert found.bpb_by_file == pytest.approx({name: bits[name] / n_bytes[name] for name in bits}, rel=1e-5)
