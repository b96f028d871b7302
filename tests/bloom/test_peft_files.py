import json
import sys

import peft
import pytest
import torch

from spacy_bloom.bloom.peft_files import (
    import_peft,
    match_weights,
    read_settings,
    read_weights,
    renamed,
    write_adapter,
)
from spacy_bloom.errors import CheckpointError, ConfigError

ONE, TWO = torch.tensor([1.0]), torch.tensor([2.0])


def test_what_is_written_is_read_and_equal_bytes(tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["dense", "query_key_value"])
    for turn in ("a", "b"):
        write_adapter(tmp_path / turn, config, {"base_model.model.x": ONE})
        config.target_modules = {"query_key_value", "dense"}
    files = [{p.name: p.read_bytes() for p in (tmp_path / turn).iterdir()} for turn in ("a", "b")]
    assert files[0] == files[1] and len(files[0]) == 2
    assert json.loads(files[0]["adapter_config.json"])["target_modules"] == ["dense", "query_key_value"]
    assert read_settings(str(tmp_path / "a"), {}).to_dict() == config.to_dict()
    assert torch.equal(read_weights(str(tmp_path / "a"), {})["base_model.model.x"], ONE)


def test_a_variant_names_the_weights(tmp_path):
    write_adapter(tmp_path, peft.LoraConfig(), {"x": ONE}, "fp16")
    assert (tmp_path / "adapter_model.fp16.safetensors").is_file()


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_damaged_weights(tmp_path, content):
    (tmp_path / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="weights of an adapter"):
        read_weights(str(tmp_path), {})


@pytest.mark.parametrize(
    "content", ["", "[]", '{"peft_type": "STRANGE"}', '{"peft_type": "LORA", "r": -1, "megatron_config": {}}']
)
def test_damaged_settings(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(CheckpointError):
        read_settings(str(tmp_path), {})


def test_names():
    weights = {"base_model.model.a.b": ONE, "a.c": TWO}
    assert list(renamed(weights, {})) == ["a.b", "a.c"]
    assert list(renamed(weights, {r"\.b$": ".d", "^a": "z"})) == ["a.d", "z.c"]
    found, others = match_weights({"x": ONE, "transformer.y": ONE, "z": TWO}, {"transformer.x", "y"})
    assert list(found) == ["transformer.x", "y"] and others == ["z"]
    found, others = match_weights({"x": TWO, "transformer.x": ONE}, {"transformer.x"})
    assert found == {"transformer.x": ONE} and others == []


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"installed for lora.*spacy-bloom\[lora\]"):
        import_peft("lora")
