import json

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom import BloomConfig
from spacy_bloom.errors import ConfigError

CHANGED = {
    "vocab_size": 97,
    "hidden_size": 48,
    "n_layer": 5,
    "n_head": 6,
    "layer_norm_epsilon": 1e-3,
    "initializer_range": 0.7,
    "use_cache": False,
    "bos_token_id": 11,
    "eos_token_id": 12,
    "pad_token_id": 13,
    "apply_residual_connection_post_layernorm": True,
    "hidden_dropout": 0.25,
    "attention_dropout": 0.125,
    "pretraining_tp": 4,
    "slow_but_exact": True,
    "classifier_dropout": 0.3,
    "problem_type": "regression",
    "tie_word_embeddings": False,
    "output_hidden_states": True,
    "output_attentions": True,
}


def write(path, values):
    (path / "config.json").write_text(
        values if isinstance(values, str) else json.dumps(values), encoding="utf8"
    )
    return path / "config.json"


def test_defaults_are_hugging_faces():
    theirs = transformers.BloomConfig()
    for name in CHANGED:
        expected = getattr(theirs, name, None)  # they give classifier_dropout no default of its own
        assert getattr(BloomConfig(), name) == expected, name
    assert BloomConfig().num_labels == theirs.num_labels


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_hugging_face_reads_each_field(tmp_path, name):
    config = BloomConfig(**CHANGED)
    assert getattr(config, name) == CHANGED[name] != getattr(BloomConfig(), name)
    write(tmp_path, config.to_json_string())
    assert getattr(transformers.BloomConfig.from_pretrained(tmp_path), name) == CHANGED[name]


def test_hugging_faces_file_is_read_whole(tmp_path):
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    label2id = {v: k for k, v in labels.items()}
    transformers.BloomConfig(**CHANGED, id2label=labels, label2id=label2id).save_pretrained(tmp_path)
    config = BloomConfig.from_json_file(tmp_path / "config.json")
    assert {name: getattr(config, name) for name in CHANGED} == CHANGED
    assert (config.id2label, config.label2id, config.num_labels) == (labels, label2id, 3)


def test_both_ways_round(tmp_path):
    config = BloomConfig(**CHANGED, id2label={"1": "b", "0": "a"}, torch_dtype="float16")
    path = write(tmp_path, config.to_json_string())
    assert BloomConfig.from_json_file(path) == config
    theirs = transformers.BloomConfig.from_pretrained(tmp_path)
    assert theirs.id2label == {0: "a", 1: "b"} and theirs.label2id == {"a": 0, "b": 1}
    theirs.save_pretrained(tmp_path / "theirs")
    back = BloomConfig.from_json_file(tmp_path / "theirs" / "config.json")
    assert back.replace(extra={}) == config.replace(extra={})


def test_equal_configs_are_equal_bytes_and_hashes():
    one = BloomConfig(hidden_size=32, n_head=4, zebra=1, apple={"b": 1, "a": 2})
    other = BloomConfig(apple={"a": 2, "b": 1}, zebra=1, n_head=4, hidden_size=32)
    assert one.to_json_string() == other.to_json_string()
    assert one == other and hash(one) == hash(other)
    assert hash(one) != hash(one.replace(n_head=2))


@pytest.mark.parametrize(
    "alias, name",
    [("n_embed", "hidden_size"), ("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer")],
)
def test_legacy_spellings(tmp_path, alias, name):
    config = BloomConfig(**{alias: 16})
    assert getattr(config, name) == getattr(config, alias) == 16
    assert BloomConfig.from_json_file(write(tmp_path, {alias: 16, name: 16})) == config
    assert alias not in config.to_dict()
    assert getattr(BloomConfig().replace(**{alias: 16}), name) == 16
    with pytest.raises(ConfigError, match=f"{alias}=16 and {name}=32"):
        BloomConfig(**{alias: 16, name: 32})


def test_unknown_fields_survive(tmp_path):
    extra = {"attention_softmax_in_fp32": True, "n_inner": None, "nested": {"a": [1, 2.5, "é"]}}
    path = write(tmp_path, {"model_type": "bloom", "n_layer": 3, **extra})
    config = BloomConfig.from_json_file(path)
    assert dict(config.extra) == extra
    written = json.loads(config.to_json_string())
    assert {k: written[k] for k in extra} == extra
    assert BloomConfig.from_dict(written) == config
    assert dict(config.replace(n_layer=4).extra) == extra


def test_replace_makes_a_copy():
    config = BloomConfig()
    assert config.replace(n_layer=3).n_layer == 3 and config.n_layer == 2


def test_num_labels():
    assert BloomConfig(num_labels=3).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert BloomConfig(num_labels=3).replace(num_labels=5).num_labels == 5
    assert BloomConfig(id2label={0: "x"}).num_labels == 1
    assert BloomConfig(id2label={0: "x"}, num_labels=1).label2id == {"x": 0}


@pytest.mark.parametrize(
    "values, message",
    [
        *(({name: 0}, name) for name in ("vocab_size", "hidden_size", "n_layer", "n_head", "pretraining_tp")),
        *(
            ({name: True}, name)
            for name in ("vocab_size", "hidden_size", "n_layer", "n_head", "pretraining_tp")
        ),
        *(
            ({name: 2.0}, name)
            for name in ("vocab_size", "hidden_size", "n_layer", "n_head", "pretraining_tp")
        ),
        *(
            ({name: 10**12}, name)
            for name in ("vocab_size", "hidden_size", "n_layer", "n_head", "pretraining_tp")
        ),
        *(({name: 1}, name) for name in ("hidden_dropout", "attention_dropout", "classifier_dropout")),
        *(({name: -0.1}, name) for name in ("hidden_dropout", "attention_dropout", "classifier_dropout")),
        *(({name: "0"}, name) for name in ("hidden_dropout", "attention_dropout", "classifier_dropout")),
        *(
            ({name: float("nan")}, name)
            for name in ("hidden_dropout", "layer_norm_epsilon", "initializer_range")
        ),
        *(({name: float("inf")}, name) for name in ("layer_norm_epsilon", "initializer_range")),
        *(({name: 10**400}, name) for name in ("layer_norm_epsilon", "initializer_range")),
        *(({name: -1}, name) for name in ("layer_norm_epsilon", "initializer_range")),
        *(({name: None}, name) for name in ("use_cache", "slow_but_exact", "tie_word_embeddings")),
        *(({name: 1}, name) for name in ("output_hidden_states", "output_attentions")),
        ({"apply_residual_connection_post_layernorm": "true"}, "apply_residual_connection_post_layernorm"),
        *(({name: -1}, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")),
        *(({name: [1]}, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")),
        ({"hidden_size": 10, "n_head": 4}, "multiple of n_head, got 10 and 4"),
        ({"problem_type": "guess"}, "problem_type"),
        ({"num_labels": 0}, "num_labels"),
        ({"num_labels": 10**9}, "num_labels"),
        ({"num_labels": "2"}, "num_labels"),
        ({"id2label": {}}, "1 to"),
        ({"id2label": {1: "a"}}, "ids 0 to 0"),
        ({"id2label": {0: 5}}, "text labels"),
        ({"id2label": {"0": "a", "00": "b"}}, "ids 0 to 1"),
        ({"id2label": {float("inf"): "a"}}, "mapping of ids to labels"),
        ({"id2label": ["a", "b"]}, "mapping of ids to labels"),
        ({"id2label": {0: "a"}, "num_labels": 2}, "num_labels=2 but 1"),
        ({"extra": 5}, "extra"),
        ({"model_type": "gpt2"}, "gpt2"),
        ({5: 6}, "names"),
    ],
)
def test_every_check_says_what_is_wrong(values, message):
    with pytest.raises(ConfigError, match=message):
        BloomConfig.from_dict(values)


def test_no_argument_name_is_taken():
    assert BloomConfig.from_dict({"self": 1, "cls": 2}).extra == {"self": 1, "cls": 2}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "NaN",
        "[" * 100_000,
        '{"n_layer": ' + "9" * 5000 + "}",
        "\ufeff{}",
    ],
    ids=lambda content: content[:12],
)
def test_files_that_are_no_config(tmp_path, content):
    with pytest.raises(ConfigError):
        BloomConfig.from_json_file(write(tmp_path, content))


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="not JSON"):
        BloomConfig.from_json_file(tmp_path / "config.json")


def test_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(ConfigError, match=r"No config.json in .*Hugging Face layout"):
        BloomConfig.from_json_file(tmp_path / "config.json")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        BloomConfig.from_json_file(tmp_path / "config.json")


def test_errors_stay_short():
    for value in ("x" * 10**6, [0] * 10**6, 10**6000, {"a": "b" * 10**6}):
        with pytest.raises(ConfigError) as caught:
            BloomConfig(hidden_size=value)
        assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    *CHANGED,
    "id2label",
    "label2id",
    "num_labels",
    "n_embed",
    "num_attention_heads",
    "num_hidden_layers",
]
NAMES += ["model_type", "extra", "self", "values"]


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=6))
def test_garbage_is_a_config_or_a_config_error(values):
    try:
        config = BloomConfig.from_dict(values)
    except ConfigError:
        return
    assert config.hidden_size % config.n_head == 0
    assert BloomConfig.from_dict(config.to_dict()).n_layer == config.n_layer


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("garbage") / "config.json"
    path.write_bytes(content)
    try:
        assert BloomConfig.from_json_file(path) == BloomConfig.from_dict(json.loads(content))
    except ConfigError as error:
        assert "config" in str(error)
