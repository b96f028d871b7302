import shutil

import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import InputError
from spacy_bloom.quantization.quantize import quantize

GEOMETRIES = {
    "even": dict(vocab_size=640, hidden_size=64, n_layer=2, n_head=8),
    # Its embedding has a row more on the first rank than on the others.
    "uneven": dict(
        vocab_size=613, hidden_size=48, n_layer=2, n_head=4, apply_residual_connection_post_layernorm=True
    ),
    "untied": dict(vocab_size=601, hidden_size=32, n_layer=1, n_head=4, tie_word_embeddings=False),
    "three-heads": dict(vocab_size=601, hidden_size=24, n_layer=1, n_head=3),
}
RANKS = {"2": ["even", "uneven", "untied", "half", "int8", "outliers"], "4": ["uneven"]}


@pytest.fixture(scope="module")
def report(tmp_path_factory, run_report, randomize, tiny_checkpoint):
    import json

    folder = tmp_path_factory.mktemp("divided")
    for name, fields in GEOMETRIES.items():
        randomize(BloomForCausalLM(BloomConfig(**fields)), std=0.1).save_pretrained(folder / name)
    (folder / "tokenizer").mkdir()
    for file in tiny_checkpoint.glob("*token*"):
        shutil.copy(file, folder / "tokenizer")
    BloomForCausalLM.from_pretrained(folder / "untied", quantization="float16").save_pretrained(
        folder / "half"
    )
    for name in ("int8", "outliers"):
        model = BloomForCausalLM.from_pretrained(folder / "uneven")
        if name == "outliers":
            with torch.no_grad():
                for block in model.transformer.h:  # some features are far larger than others
                    block.input_layernorm.weight[[3, 40]] *= 30
                    block.self_attention.query_key_value.weight[3 * 12 - 5] *= 30
                    block.mlp.dense_h_to_4h.weight[[7, 150]] *= 30
        quantize(model).save_pretrained(folder / name)
        kept = model.config.extra["quantization"]["float_columns"]
        assert ("h.0.mlp.dense_4h_to_h" in kept) == (name == "outliers")
    return run_report("tensor_report.py", folder, json.dumps(RANKS))[0]


@pytest.mark.parametrize("n, name", [(n, name) for n, names in RANKS.items() for name in names])
def test_a_divided_language_model_gives_what_the_whole_one_gives(report, n, name):
    found = dict(report[n][name])
    for key in ("read", "held", "file"):
        found.pop(key)
    gaps = {key: gap for key, gap in found.items() if not isinstance(gap, bool)}
    assert all(gap < 1e-5 for gap in gaps.values()), gaps
    assert [key for key, same in found.items() if same is False] == []
    assert len(gaps) == 7 and len(found) == 15


@pytest.mark.parametrize("name", ["int8", "outliers"])
def test_int8_states_are_the_same_bits(report, name):
    found = report["2"][name]
    assert [found[key] for key in ("padded", "packed", "cached", "of pieces")] == [0.0] * 4


@pytest.mark.parametrize("n", RANKS)
def test_ranks_read_and_hold_their_share(report, n):
    for name in set(RANKS[n]) - {"outliers"}:  # whose columns in float are whole on each rank
        found = report[n][name]
        share = found["file"] / int(n)
        assert max(found["read"]) <= share * 1.06, name  # vectors are whole; these models are thin
        if name != "half":  # whose vectors are float32 in memory
            assert found["held"] == found["read"]


def test_classifiers_with_new_heads(report):
    gaps = report["heads"]
    assert len(gaps) == 3
    assert all(gap < 1e-5 for gap in gaps.values()), gaps


def test_what_a_divided_model_cannot_do(report):
    expected = [
        "train()",
        "output_attentions",
        "part of a model to save",
        "no gradient",
        "convert",
        "device_map",
        "3 heads",
    ]
    assert len(report["refused"]) == len(expected)
    for part, text in zip(expected, report["refused"], strict=True):
        assert part in text


def test_a_process_alone_is_told_how_to_start(tiny_checkpoint, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="torchrun"):
        BloomForCausalLM.from_pretrained(tiny_checkpoint, tensor_parallel=True)
