import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from spacy_bloom import BloomForCausalLM
from spacy_bloom.checkpoint import directory
from spacy_bloom.checkpoint.directory import Checkpoint
from spacy_bloom.errors import BloomWarning, CheckpointError, ConfigError


@pytest.fixture
def copy(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def test_what_is_there_is_read_and_nothing_else(copy):
    found = Checkpoint.find(copy)
    model = BloomForCausalLM.from_pretrained(copy)
    assert found == Checkpoint(copy)
    assert found.config == model.config
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert found.weights.shapes == shapes
    assert found.weight_files == [copy / "model.safetensors"]
    assert found.tokenizer[0] == (copy / "tokenizer.json").read_bytes()
    assert [found.quantization, found.generation, found.adapter, found.layer_mix] == [None] * 4


def test_each_file_is_read_once(copy, monkeypatch):
    (copy / "generation_config.json").write_text('{"top_k": 3}', encoding="utf8")
    read = []

    def read_json(path):
        read.append(path.name)
        return json.loads(path.read_text(encoding="utf8"))

    monkeypatch.setattr(directory, "read_json", read_json)
    found = Checkpoint(copy)
    for _ in range(2):
        assert found.generation == {"top_k": 3}
        assert found.tokenizer and found.weights is found.weights
    assert sorted(read) == ["generation_config.json", "special_tokens_map.json", "tokenizer_config.json"]


def test_damage_is_told_when_the_part_is_asked_for(copy):
    (copy / "tokenizer_config.json").write_text("[]", encoding="utf8")
    (copy / "generation_config.json").write_text("null", encoding="utf8")
    found = Checkpoint(copy)
    assert found.config.n_layer
    for part, file in (("tokenizer", "tokenizer_config"), ("generation", "generation_config")):
        with pytest.raises(ConfigError, match=f"{file}.json to hold a JSON object"):
            getattr(found, part)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="No tokenizer.json in"):
        assert found.tokenizer


def test_the_parts_of_a_tokenizer(copy):
    (copy / "tokenizer_config.json").write_text('{"a": 1, "pad_token": "x"}', encoding="utf8")
    (copy / "special_tokens_map.json").write_text('{"pad_token": "<pad>"}', encoding="utf8")
    (copy / "chat_template.jinja").write_text("{{ é }}", encoding="utf8")
    assert Checkpoint(copy).tokenizer[1] == {"a": 1, "pad_token": "<pad>", "chat_template": "{{ é }}"}


@pytest.mark.parametrize("place", ["adapter", "."])
@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_model.bin"])
def test_adapters(copy, place, file):
    folder, value = copy / place, torch.arange(3.0)
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 3}', encoding="utf8")
    with pytest.raises(CheckpointError, match="no such file"):
        assert Checkpoint(copy).adapter
    (torch.save if file.endswith(".bin") else save_file)({"a": value}, folder / file)
    settings, weights = Checkpoint(copy).adapter
    assert settings == {"r": 3} and torch.equal(weights["a"], value)
    with pytest.warns(BloomWarning, match="are not read: .*lora.merge = true"):
        Checkpoint(copy).warn_of_adapter()


def test_adapters_in_two_places(copy):
    (copy / "adapter").mkdir()
    for folder in (copy, copy / "adapter"):
        (folder / "adapter_config.json").write_text("{}", encoding="utf8")
    with pytest.raises(CheckpointError, match="Got adapters in .*adapter and in "):
        assert Checkpoint(copy).adapter
