import json

import pytest
import torch
import transformers

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.pretrained import save_checkpoint
from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, num_labels=4)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("cls", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_saved_without_a_model_as_with_one(tmp_path, randomize, cls, dtype):
    model = randomize(cls(CONFIG))
    model.save_pretrained(tmp_path / "one", dtype=dtype)
    save_checkpoint(tmp_path / "other", CONFIG, model.state_dict(), cls.__name__, dtype=dtype)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_files_of_a_class_are_read_and_written(tmp_path, randomize):
    model = randomize(BloomForCausalLM(CONFIG))
    model.generation_config = GenerationConfig(max_new_tokens=3)
    model.save_pretrained(tmp_path)
    assert BloomForCausalLM.from_pretrained(tmp_path).generation_config == model.generation_config
    BloomForCausalLM(CONFIG).save_pretrained(tmp_path)  # another model's goes
    assert BloomForCausalLM.from_pretrained(tmp_path).own_generation_config is None
    assert sorted(contents(tmp_path)) == ["config.json", "model.safetensors"]


def test_a_subclass_loads_and_names_itself(tmp_path, randomize):
    class Mine(BloomModel):
        pass

    randomize(Mine(CONFIG)).save_pretrained(tmp_path)
    assert type(Mine.from_pretrained(tmp_path)) is Mine
    assert json.loads((tmp_path / "config.json").read_text("utf8"))["architectures"] == ["Mine"]


def test_names_are_checked_before_anything_is_looked_for():
    with pytest.raises(InputError, match="got hidden_dropuot"):
        BloomModel.from_pretrained("no/such-checkpoint", hidden_dropuot=0.1, local_files_only=True)


@pytest.mark.parametrize("dtype", [None, "auto", "float32", torch.bfloat16])
def test_the_config_says_the_dtype_of_what_was_loaded(tmp_path, randomize, dtype):
    randomize(BloomForCausalLM(CONFIG)).save_pretrained(tmp_path, dtype="float16")
    settings = json.loads((tmp_path / "config.json").read_text("utf8"))
    (tmp_path / "config.json").write_text(json.dumps({**settings, "dtype": "float16"}), "utf8")
    options = {} if dtype is None else {"torch_dtype": dtype}
    model = BloomForCausalLM.from_pretrained(tmp_path, **options)
    theirs = transformers.BloomForCausalLM.from_pretrained(tmp_path, **options)
    assert model.config.torch_dtype == theirs.config.torch_dtype == model.dtype
    assert model.config.extra["dtype"] == str(model.dtype).removeprefix("torch.")
