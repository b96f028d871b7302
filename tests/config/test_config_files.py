"""What scripts do with Hugging Face's configs, on both."""

import copy
import json
import pickle

import pytest
import torch
import transformers

from spacy_bloom import BloomConfig, BloomForSequenceClassification, BloomModel
from spacy_bloom.config.bloom_config import POSITIONAL
from spacy_bloom.config.general import general_defaults
from spacy_bloom.errors import BloomWarning, CheckpointError, ConfigError, InputError

BOTH = pytest.mark.parametrize("cls", [BloomConfig, transformers.BloomConfig])


def test_defaults_of_every_config():
    theirs, ours = transformers.BloomConfig(), BloomConfig()
    for name, value in general_defaults().items():
        assert getattr(ours, name) == value == getattr(theirs, name), name
    written = set(theirs.to_dict()) - {"transformers_version"}
    assert written <= set(ours.to_dict()) and {*ours} == {*ours.to_dict()}
    assert {k: ours.to_dict()[k] for k in written - {"id2label"}} == {
        k: v for k, v in theirs.to_dict().items() if k in written - {"id2label"}
    }
    assert ours.id2label == theirs.id2label and ours.label2id == theirs.label2id
    with pytest.raises(AttributeError, match="no field 'n_embd'"):
        ours.n_embd  # noqa: B018
    ours.pruned_heads[0] = [1]  # the caller's
    assert BloomConfig().pruned_heads == {}


@BOTH
def test_class_attributes(cls):
    assert cls.model_type == cls().model_type == "bloom"
    assert cls.keys_to_ignore_at_inference + ["loss"] == [
        "past_key_values",
        "loss",
    ]  # as transformers' Trainer does
    assert cls.attribute_map == {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
    assert not cls.has_no_defaults_at_init and cls.base_config_key == "" and cls.sub_configs == {}
    assert cls.base_model_tp_plan is cls.base_model_pp_plan is None


@BOTH
def test_by_position(cls):
    values = (97, 48, 5, 6, 1e-3, 0.7, False, 11, 12, True, 0.25, 0.125, 4, True)
    config = cls(*values, pad_token_id=3, rotary=False)
    assert [getattr(config, name) for name in POSITIONAL] == list(values)
    assert (config.pad_token_id, config.rotary) == (3, False)


def test_wrong_positions():
    with pytest.raises(ConfigError, match="at most 14 fields"):
        BloomConfig(*range(15))
    with pytest.raises(ConfigError, match="vocab_size twice"):
        BloomConfig(97, vocab_size=98)


@BOTH
def test_setting(cls):
    config = cls(hidden_size=64)
    config.use_cache = False
    config.num_hidden_layers = 7
    config.n_head = 12  # fits once the next is set
    config.hidden_size = 768
    config.some_option = {"a": 1}
    config.return_dict = False
    assert (config.use_cache, config.n_layer, config.num_attention_heads) == (False, 7, 12)
    assert config.some_option == {"a": 1} and config.to_dict()["some_option"] == {"a": 1}
    assert not config.use_return_dict
    config.update({"n_layer": 3, "torchscript": True, "return_dict": True})
    assert config.num_hidden_layers == 3 and not config.use_return_dict
    config.update_from_string("n_layer=4,hidden_dropout=0.5,use_cache=true")
    assert (config.n_layer, config.hidden_dropout, config.use_cache) == (4, 0.5, True)
    del config.some_option
    assert not hasattr(config, "some_option") and "some_option" not in config and "n_layer" in config
    assert config.get_text_config() is config.get_text_config(decoder=True) is config


def test_setting_checks_like_making():
    config = BloomConfig()
    for name, value in (("n_layer", 0), ("hidden_dropout", 1.5), ("use_cache", "no"), ("id2label", {1: "a"})):
        before = config.to_dict()
        with pytest.raises(ConfigError):
            setattr(config, name, value)
        with pytest.raises(ConfigError):
            config.update({"initializer_range": 0.5, name: value})
        assert config.to_dict() == before
    with pytest.raises(ConfigError, match="multiple of n_head"):
        config.update({"hidden_size": 10, "n_head": 4})
    config.hidden_size = 10
    with pytest.raises(ConfigError, match="multiple of n_head"):
        BloomModel(config)
    for text in ("n_layer", "n_layer=two", "use_cache=maybe", "nothing=1", "pad_token_id=1"):
        with pytest.raises(ConfigError):
            config.update_from_string(text)
    with pytest.raises(ConfigError, match="'bloom'"):
        config.model_type = "gpt2"


@BOTH
def test_labels(cls):
    config = cls()
    assert config.num_labels == 2 and config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    config.num_labels = 3
    assert config.id2label[2] == "LABEL_2" and config.label2id["LABEL_2"] == 2
    # As in run_glue.py: the one first, then the other.
    config.label2id = {"no": 0, "yes": 1, "maybe": 2}
    config.id2label = {i: label for label, i in config.label2id.items()}
    assert config.id2label == {0: "no", 1: "yes", 2: "maybe"} and config.num_labels == 3
    config.num_labels = 3
    assert config.id2label[0] == "no"
    assert cls(num_labels=4).label2id == {f"LABEL_{i}": i for i in range(4)}


def test_labels_by_their_ids_alone():
    assert BloomConfig(label2id={"b": 1, "a": 0}).id2label == {0: "a", 1: "b"}
    for wrong in ({"a": 0, "b": 0}, {"a": 1}, ["a"], {"a": []}):
        with pytest.raises(ConfigError):
            BloomConfig(label2id=wrong)
    assert not BloomConfig().has_labels and BloomConfig(num_labels=2).has_labels


@BOTH
def test_dtypes(cls, tmp_path):
    for value in (torch.float16, "float16"):
        config = cls(torch_dtype=value)
        assert config.torch_dtype == torch.float16 and config.to_dict()["torch_dtype"] == "float16"
        config.torch_dtype = torch.bfloat16
        config.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
        assert cls.from_pretrained(tmp_path).torch_dtype == torch.bfloat16
    values = {"torch_dtype": torch.float16, "inner": {"torch_dtype": torch.float32}}
    config.dict_torch_dtype_to_str(values)
    assert values == {"torch_dtype": "float16", "inner": {"torch_dtype": "float32"}}


@BOTH
def test_from_pretrained(cls, tmp_path):
    cls(n_layer=3, num_labels=3, note="here").save_pretrained(tmp_path)
    for place in (tmp_path, str(tmp_path), tmp_path / "config.json"):
        config = cls.from_pretrained(place, num_labels=5, use_cache=False, revision="main", token=None)
        assert (config.n_layer, config.note, config.num_labels, config.use_cache) == (3, "here", 5, False)
    config, unused = cls.from_pretrained(tmp_path, n_layer=4, foo=1, return_unused_kwargs=True)
    assert config.n_layer == 4 and unused == {"foo": 1} and not hasattr(config, "foo")
    values, options = cls.get_config_dict(tmp_path, foo=1)
    assert values["n_layer"] == 3 and options == {"foo": 1}
    assert cls.from_dict(values, n_layer=9).n_layer == 9
    assert cls.from_json_file(str(tmp_path / "config.json")).n_layer == 3


def test_names_without_effect_are_warned_of(tmp_path):
    BloomConfig().save_pretrained(tmp_path)
    with pytest.warns(BloomWarning, match="no fields foo"):
        BloomConfig.from_pretrained(tmp_path, foo=1)


def test_subfolders_and_bundled_names(tmp_path):
    BloomConfig(n_layer=3).save_pretrained(tmp_path / "inner")
    assert BloomConfig.from_pretrained(tmp_path, subfolder="inner").n_layer == 3
    assert BloomConfig.from_pretrained("tiny-bloom").vocab_size > 1000
    with pytest.raises(CheckpointError, match="no-such-name"):
        BloomConfig.from_pretrained("no-such-name")


@pytest.mark.parametrize("options, message", [
    (dict(trust_remote_code=True), "no code of a checkpoint"),
    (dict(gguf_file="a.gguf"), "no gguf_file"),
])  # fmt: skip
def test_what_is_refused(tmp_path, options, message):
    config = BloomConfig()
    config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=message):
        BloomConfig.from_pretrained(tmp_path, **options)
    with pytest.raises(InputError, match="upload_folder"):
        config.save_pretrained(tmp_path, push_to_hub=True)
    with pytest.raises(InputError, match="a directory"):
        config.save_pretrained(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="'eager'"):
        BloomConfig(attn_implementation="flash_attention_2")


@BOTH
def test_where_from_is_not_written(cls, tmp_path):
    config = cls(name_or_path="somewhere")
    assert config.name_or_path == config.to_dict()["_name_or_path"] == "somewhere"
    assert "_name_or_path" not in config.to_diff_dict()
    config.to_json_file(tmp_path / "c.json")
    assert "somewhere" not in (tmp_path / "c.json").read_text()
    config.to_json_file(tmp_path / "c.json", use_diff=False)
    assert json.loads((tmp_path / "c.json").read_text())["max_length"] == 20
    assert json.loads(config.to_json_string(use_diff=False))["pruned_heads"] == {}
    assert repr(config).startswith("BloomConfig {")


@BOTH
def test_copies_and_pickles(cls):
    config = cls(n_layer=3, note=["a"], num_labels=3)
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config and other is not config and other.note == ["a"]
        other.n_layer = 4
        assert other != config and config.n_layer == 3
    deep = copy.deepcopy(config)
    deep.note.append("b")
    assert config.note == ["a"] and config != "config"


def test_what_a_built_model_depends_on():
    config = BloomConfig(vocab_size=50, hidden_size=24, n_layer=2, n_head=3, num_labels=3)
    model = BloomModel(config)
    assert model.config is config
    config.num_labels = 4  # no part of the decoder
    config.use_cache, config.note, config.n_layer = False, 1, 2
    for name, value in (("n_layer", 3), ("num_hidden_layers", 3), ("hidden_dropout", 0.5)):
        with pytest.raises(ConfigError, match="would not follow"):
            setattr(config, name, value)
    other = copy.deepcopy(config)
    other.n_layer = 3
    assert len(BloomModel(other).h) == 3 == len(BloomModel(config.replace(n_layer=3)).h)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(ConfigError, match="would not follow"):
            copied.config.n_layer = 3
    BloomForSequenceClassification(config)
    config.id2label = {0: "a", 1: "b", 2: "c", 3: "d"}
    for name, value in (("num_labels", 5), ("id2label", {0: "a"}), ("label2id", {"a": 0})):
        with pytest.raises(ConfigError, match="would not follow"):
            setattr(config, name, value)
    config.follow(vocab_size=60)
    with pytest.raises(ConfigError, match="would not follow"):
        config.vocab_size = 70
    assert config.vocab_size == 60 and config.id2label[3] == "d"
