import json
import shutil
from dataclasses import asdict
from math import prod

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.conversion.description import describe_directory, describe_published
from spacy_bloom.errors import ConfigError
from spacy_bloom.published import N_PIECES, published_config

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, num_labels=3)


def embedding(config):
    return config.vocab_size * config.hidden_size


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("cls", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
@pytest.mark.parametrize("max_shard_size", [10**9, 10_000])
def test_parameters_are_the_models(tmp_path, cls, tied, max_shard_size):
    model = cls(CONFIG.replace(tie_word_embeddings=tied))
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size, dtype="bfloat16")
    found = describe_directory("mine", tmp_path)
    assert (found.name, found.path, found.architecture) == ("mine", str(tmp_path), cls.__name__)
    assert (found.hidden_size, found.n_layer, found.n_head, found.vocab_size) == (24, 2, 3, 97)
    assert found.parameters == model.num_parameters()
    assert found.parameters_without_embeddings == model.num_parameters() - embedding(CONFIG)
    assert found.dtypes == {"bfloat16": len(dict(model.named_parameters()))}
    assert found.files == {
        file.name: file.stat().st_size for file in tmp_path.glob("*[!x].*s*") if "index" not in file.name
    }
    assert found.problem is None
    assert (
        set(found.head)
        == {
            BloomModel: set(),
            BloomForCausalLM: set() if tied else {"lm_head.weight"},
            BloomForTokenClassification: {"classifier.weight", "classifier.bias"},
        }[cls]
    )
    assert found.labels == (["LABEL_0", "LABEL_1", "LABEL_2"] if cls is BloomForTokenClassification else None)


def test_memory(tmp_path):
    model = BloomForTokenClassification(CONFIG)
    model.save_pretrained(tmp_path)
    found = describe_directory("mine", tmp_path)
    n = model.num_parameters()
    # One byte for the matrices in the blocks and a float32 scale for each of their rows, two for all else.
    matrices = [p.shape for name, p in model.transformer.h.named_parameters() if p.dim() == 2]
    n_matrices, rows = sum(map(prod, matrices)), sum(shape[0] for shape in matrices)
    assert (len(matrices), rows) == (8, 2 * 9 * 24)
    assert found.weights == {
        "float32": 4 * n,
        "bfloat16": 2 * n,
        "float16": 2 * n,
        "int8": n_matrices + 4 * rows + 2 * (n - n_matrices),
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_cache_is_as_large_as_it_says(dtype):
    found = describe_published("mine", CONFIG)
    model = BloomModel(CONFIG).eval().to(getattr(torch, dtype))
    with torch.no_grad():
        cache = model(torch.ones(1, 50, dtype=torch.long), use_cache=True).past_key_values
    n_bytes = sum(tensor.nbytes for layer in range(CONFIG.n_layer) for tensor in cache[layer])
    assert found.cache[dtype] == n_bytes * 1000 // 50
    assert found.memory(dtype) == found.weights[dtype] + found.cache[dtype]


def test_a_published_size():
    found = describe_published("bloom-560m", published_config("bloom-560m"))
    assert (found.parameters, found.parameters_without_embeddings) == (559_214_592, 302_313_472)
    assert (found.path, found.n_pieces, found.architecture) == (None, N_PIECES, "BloomForCausalLM")
    assert (found.files, found.dtypes, found.head, found.labels) == ({}, {}, {}, None)


def test_the_tokenizer(tiny_checkpoint, tiny_tokenizer):
    found = describe_directory("tiny", tiny_checkpoint)
    assert found.n_pieces == len(tiny_tokenizer) < found.vocab_size == 608
    assert list(found.files)[-1] == "model.safetensors" and "tokenizer.json" in found.files


def test_a_head_that_a_bin_stores_twice(tmp_path, randomize):
    model = randomize(BloomForCausalLM(CONFIG))
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    found = describe_directory("mine", tmp_path)
    assert (found.parameters, found.head) == (model.num_parameters(), {})
    assert "pytorch_model.bin" in found.files


def test_without_weights(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    found, whole = describe_directory("x", tmp_path / "copy"), describe_directory("x", tiny_checkpoint)
    assert (found.dtypes, found.problem) == ({}, None)
    assert (found.parameters, found.weights) == (whole.parameters, whole.weights)
    config = json.loads((tmp_path / "copy" / "config.json").read_text(encoding="utf8"))
    config["tie_word_embeddings"] = False
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config), encoding="utf8")
    untied = describe_directory("x", tmp_path / "copy")
    assert untied.parameters - whole.parameters == 608 * 24 == prod(untied.head["lm_head.weight"])


def test_damaged_files_are_a_problem_not_an_error(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    weights = load_file(file)
    weights.pop("transformer.ln_f.bias")
    save_file(weights, file)
    found = describe_directory("x", tmp_path / "copy")
    assert "missing: ln_f.bias (24,)" in found.problem and found.files["model.safetensors"] > 0
    file.write_bytes(b"nothing")
    assert "not a safetensors file" in describe_directory("x", tmp_path / "copy").problem
    (tmp_path / "copy" / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"No config.json"):
        describe_directory("x", tmp_path / "copy")


def test_a_description_is_json(tiny_checkpoint):
    found = describe_directory("tiny", tiny_checkpoint)
    assert json.loads(json.dumps(asdict(found)))["dtypes"] == dict(found.dtypes)


def test_no_weight_is_read(tmp_path, tiny_checkpoint):
    config = BloomConfig(vocab_size=2**22, hidden_size=1024, n_layer=1, n_head=8)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in BloomModel(config).state_dict().items()}
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + 2 * prod(shape)]}
        end += 2 * prod(shape)
    text = json.dumps(header).encode()
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)  # a hole of 8.6 GB, which takes no room on the disk
    (tmp_path / "config.json").write_text(config.to_json_string(), encoding="utf8")
    found = describe_directory("large", tmp_path)
    assert found.problem is None and found.dtypes == {"bfloat16": len(shapes)}
    assert (tmp_path / "model.safetensors").stat().st_blocks * 512 < 10**6
