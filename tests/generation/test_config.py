import dataclasses
import json

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.errors import BloomWarning, ConfigError, InputError
from spacy_bloom.generation.config import OPTIONS, GenerationConfig
from spacy_bloom.generation.options import NOT_FOLLOWED

CHANGED = {
    "max_new_tokens": 7,
    "min_new_tokens": 3,
    "max_length": 50,
    "min_length": 9,
    "do_sample": True,
    "num_beams": 4,
    "early_stopping": "never",
    "length_penalty": -0.5,
    "num_return_sequences": 2,
    "temperature": 0.7,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.05,
    "typical_p": 0.8,
    "repetition_penalty": 1.2,
    "no_repeat_ngram_size": 3,
    "bad_words_ids": [[4], [5, 6]],
    "forced_bos_token_id": 8,
    "forced_eos_token_id": [2, 9],
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "pad_token_id": 0,
    "stop_strings": ["\n", "Ende"],
    "max_time": 2.5,
    "max_matching_ngram_size": 5,
}
OWN = {"seed"}  # Hugging Face has no such option
ONE_BEAM = {"prompt_lookup_num_tokens": 10}


def as_lists(value):
    return json.loads(json.dumps(value))


def test_the_tables_name_every_option():
    assert {*CHANGED, *OWN, *ONE_BEAM} == set(OPTIONS)


def test_defaults_are_hugging_faces_but_for_those_that_are_said():
    theirs = transformers.GenerationConfig()
    differ = {name for name in OPTIONS if getattr(theirs, name, None) != getattr(GenerationConfig(), name)}
    # 20 new pieces are theirs as well: their max_length of 20 stands for that. 0 and None are both "no minimum".
    assert differ == {"max_new_tokens", "max_length", "min_new_tokens", "top_k", "max_matching_ngram_size"}
    assert theirs.max_matching_ngram_size is None  # and their look-up takes 2 then
    assert theirs.max_length == GenerationConfig().max_new_tokens == 20
    assert {
        name for name, neutral in NOT_FOLLOWED.items() if getattr(theirs, name) not in (None, neutral)
    } == set()


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_hugging_face_reads_each_field(tmp_path, name):
    config = GenerationConfig(**CHANGED)
    assert as_lists(getattr(config, name)) == CHANGED[name] != getattr(GenerationConfig(), name)
    (tmp_path / "generation_config.json").write_text(config.to_json_string(), encoding="utf8")
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert getattr(theirs, name) == CHANGED[name]


def test_hugging_faces_file_is_read_whole(tmp_path):
    transformers.GenerationConfig(**CHANGED, use_cache=False).save_pretrained(tmp_path)
    config = GenerationConfig.from_json_file(tmp_path / "generation_config.json")
    assert config.replace(extra={}) == GenerationConfig(**CHANGED)
    assert config.extra["use_cache"] is False and "transformers_version" in config.extra


def test_their_file_with_nulls_means_the_defaults(tmp_path):
    values = transformers.GenerationConfig().to_dict()
    assert values["top_k"] == 50 and None in values.values()
    values["max_length"] = None
    (tmp_path / "generation_config.json").write_text(json.dumps(values), encoding="utf8")
    config = GenerationConfig.from_json_file(tmp_path / "generation_config.json")
    assert config.replace(extra={}) == GenerationConfig(top_k=50)


def test_their_silence_about_top_k_is_no_top_k():
    assert GenerationConfig.from_dict({"do_sample": True}).top_k == 0


@pytest.mark.parametrize("values", [CHANGED, ONE_BEAM, {"seed": [1, 2]}, {"max_length": 30}, {}])
def test_both_ways_round(values):
    config = GenerationConfig(**values, extra={"use_cache": True, "extra": 5})
    assert GenerationConfig.from_dict(json.loads(config.to_json_string())) == config


def test_equal_configs_are_equal_bytes_and_hashes():
    one = GenerationConfig(top_k=5, eos_token_id=[2], extra={"b": 1, "a": {"y": 1, "x": 2}})
    other = GenerationConfig(eos_token_id=(2,), extra={"a": {"x": 2, "y": 1}, "b": 1}, top_k=5)
    assert one == other and hash(one) == hash(other) and one.to_json_string() == other.to_json_string()
    assert one.to_json_string().encode().endswith(b"}\n")


def test_it_is_frozen():
    words = [[1, 2]]
    config = GenerationConfig(bad_words_ids=words)
    words[0].append(3)
    assert config.bad_words_ids == ((1, 2),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.top_k = 3


def test_none_stands_for_the_default():
    assert GenerationConfig(**dict.fromkeys([*OPTIONS, "extra"])) == GenerationConfig()


def test_max_length_alone_replaces_our_default():
    assert GenerationConfig(max_length=12).max_added(5) == 7
    assert GenerationConfig().max_added(1000) == 20
    assert GenerationConfig(max_length=12, max_new_tokens=3).max_added(100) == 3
    assert GenerationConfig(max_new_tokens=3).replace(max_length=12).max_added(5) == 7
    assert GenerationConfig(max_length=12).replace(max_new_tokens=4).max_added(5) == 4
    assert GenerationConfig(max_length=12).replace(top_k=4).max_added(5) == 7


def test_a_prompt_that_leaves_no_room_is_refused():
    assert GenerationConfig(max_length=12).max_added(11) == 1
    with pytest.raises(InputError, match=r"fewer than max_length=12 pieces, got 12.*set max_new_tokens"):
        GenerationConfig(max_length=12).max_added(12)


@pytest.mark.parametrize("given_, expected", [(None, ()), (2, (2,)), ([2, 3], (2, 3))])
def test_one_or_more_are_read_as_more(given_, expected):
    config = GenerationConfig(eos_token_id=given_, forced_eos_token_id=given_)
    assert config.eos_token_ids == config.forced_eos_token_ids == expected


def test_one_stop_string_is_not_its_characters():
    assert GenerationConfig(stop_strings="ab").stop_texts == ("ab",)
    assert GenerationConfig(stop_strings=["a", "b"]).stop_texts == ("a", "b")
    assert GenerationConfig().stop_texts == ()


NAN, INF = float("nan"), float("inf")
BAD = {
    "max_new_tokens": [0, -1, True, 2.0, "5", 2**31, [5]],
    "min_new_tokens": [-1, False, 1.5],
    "max_length": [0, True, 10.0, NAN],
    "min_length": [-1, True, "3"],
    "do_sample": [1, 0, "true"],
    "num_beams": [0, -2, True, 1.0, 10**6],
    "early_stopping": [1, 0, "Never", "always", 0.5],
    "length_penalty": [NAN, INF, -INF, True, "1", 1e9],
    "num_return_sequences": [0, True, 10**6],
    "temperature": [0, 0.0, -1.0, NAN, INF, True, "1", 1e-300],
    "top_k": [-1, True, 1.0, NAN],
    "top_p": [-0.1, 1.1, NAN, INF, True, "0.9"],
    "min_p": [-0.1, 1.1, NAN, False],
    "typical_p": [0, -0.1, 1.1, NAN, True],
    "repetition_penalty": [0, -1.2, NAN, INF, True],
    "no_repeat_ngram_size": [-1, True, 2.0],
    "bad_words_ids": [[[]], [[1], []], [1], 3, "ab", [[True]], [[-1]], [[1.0]], [[2**31]], [[[1]]], ["ab"]],
    "forced_bos_token_id": [-1, True, 1.0, [1]],
    "forced_eos_token_id": [-1, True, [], [1, -1], [[1]], "2"],
    "bos_token_id": [-1, True, [1]],
    "eos_token_id": [-1, False, [], [True], [2.0], {2}, 2**31],
    "pad_token_id": [-1, True, 0.0],
    "stop_strings": ["", [], ["a", ""], 5, [5], [["a"]]],
    "max_time": [-1, NAN, INF, True, "1"],
    "seed": [-1, True, 1.0, [], [1, -1], [True], 2**64, "1"],
    "prompt_lookup_num_tokens": [0, True, 1.5],
    "max_matching_ngram_size": [0, True],
    "extra": [5, [1], "a"],
}


@pytest.mark.parametrize("name, value", [(name, value) for name in BAD for value in BAD[name]])
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(ConfigError, match=rf"expected {name} to be .*, got ") as caught:
        GenerationConfig(**{name: value})
    assert len(str(caught.value)) < 300
    with pytest.raises(ConfigError):
        GenerationConfig().replace(**{name: value})


def test_every_option_has_wrong_values():
    assert set(BAD) == {*OPTIONS, "extra"}


@pytest.mark.parametrize(
    "values, message",
    [
        ({"num_return_sequences": 2}, "greedy decoding gives one"),
        ({"num_return_sequences": 3, "num_beams": 2}, "at most num_beams=2, got 3"),
        ({"num_return_sequences": 3, "num_beams": 2, "do_sample": True}, "at most num_beams=2, got 3"),
        ({"num_beams": 2, "prompt_lookup_num_tokens": 5}, "None in beam search, got 5"),
        ({"min_new_tokens": 21}, "at most max_new_tokens=20, got 21"),
        ({"min_length": 9, "max_length": 8}, "min_length to be at most max_length=8, got 9"),
        ({"min_new_tokens": 9, "max_length": 8}, "min_new_tokens to be at most max_length=8, got 9"),
    ],
)
def test_contradictions(values, message):
    with pytest.raises(ConfigError, match=message):
        GenerationConfig(**values)


def test_what_only_looks_contradictory():
    GenerationConfig(num_return_sequences=3, do_sample=True)
    GenerationConfig(num_return_sequences=2, num_beams=2)
    GenerationConfig(min_length=30)  # the prompt counts


@pytest.mark.parametrize(
    "call", [lambda **x: GenerationConfig(**x), lambda **x: GenerationConfig().replace(**x)]
)
def test_unknown_options_list_near_ones(call):
    with pytest.raises(ConfigError, match=r"no option 'temprature'. Did you mean temperature\?"):
        call(temprature=0.5)
    with pytest.raises(ConfigError, match="min_new_tokens"):
        call(max_new_token=5)
    with pytest.raises(ConfigError, match="The options are max_new_tokens, "):
        call(xyzzy=5)


@pytest.mark.parametrize("name", sorted(NOT_FOLLOWED))
def test_what_is_not_followed_is_warned_of(name, recwarn):
    assert GenerationConfig.from_dict({name: NOT_FOLLOWED[name]}).extra == {name: NOT_FOLLOWED[name]}
    assert not recwarn.list
    with pytest.warns(BloomWarning, match=f"sets {name}, "):
        assert GenerationConfig.from_dict({name: 5}).extra == {name: 5}


@pytest.mark.parametrize("content", ["", "{", "[1]", "5", "null", "[" * 100000, '"text"', "9" * 5000])
def test_files_that_are_no_config(tmp_path, content):
    path = tmp_path / "generation_config.json"
    path.write_text(content, encoding="utf8")
    with pytest.raises(ConfigError):
        GenerationConfig.from_json_file(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"No \S+\.json in .*Hugging Face layout"):
        GenerationConfig.from_json_file(tmp_path / "generation_config.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        GenerationConfig.from_json_file(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="is not JSON"):
        GenerationConfig.from_json_file(tmp_path / "latin.json")


def test_numbers_that_json_should_not_have(tmp_path):
    path = tmp_path / "generation_config.json"
    path.write_text('{"temperature": NaN}', encoding="utf8")
    with pytest.raises(ConfigError, match="expected temperature to be .* got nan"):
        GenerationConfig.from_json_file(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=3))
def test_any_json_is_a_config_or_a_config_error(values):
    try:
        config = GenerationConfig.from_dict(values)
    except ConfigError:
        return
    assert GenerationConfig.from_dict(json.loads(config.to_json_string())) == config
