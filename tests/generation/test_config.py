import copy
import json
import pickle

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom import BloomConfig
from spacy_bloom.errors import BloomWarning, ConfigError, InputError
from spacy_bloom.generation.config import DEFAULTS, OPTIONS, GenerationConfig

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
    "use_cache": True,
    "cache_implementation": "static",
    "return_legacy_cache": True,
    "prefill_chunk_size": 64,
    "temperature": 0.7,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.05,
    "typical_p": 0.8,
    "epsilon_cutoff": 0.001,
    "eta_cutoff": 0.002,
    "repetition_penalty": 1.2,
    "encoder_repetition_penalty": 1.1,
    "no_repeat_ngram_size": 3,
    "encoder_no_repeat_ngram_size": 4,
    "bad_words_ids": [[4], [5, 6]],
    "renormalize_logits": True,
    "remove_invalid_values": True,
    "forced_bos_token_id": 8,
    "forced_eos_token_id": [2, 9],
    "exponential_decay_length_penalty": [5, 1.1],
    "suppress_tokens": [4, 5],
    "begin_suppress_tokens": [6],
    "sequence_bias": [[[5, 6], 2.0]],
    "token_healing": True,
    "guidance_scale": 1.5,
    "low_memory": True,
    "output_attentions": True,
    "output_hidden_states": True,
    "output_scores": True,
    "output_logits": True,
    "return_dict_in_generate": True,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "pad_token_id": 0,
    "decoder_start_token_id": 1,
    "stop_strings": ["\n", "Ende"],
    "max_time": 2.5,
    "num_assistant_tokens": 5,
    "num_assistant_tokens_schedule": "heuristic",
    "assistant_confidence_threshold": 0.2,
    "assistant_early_exit": 2,
    "assistant_lookbehind": 5,
    "target_lookbehind": 6,
    "max_matching_ngram_size": 5,
    "disable_compile": True,
}
# Which do not go together with those above.
APART = {
    "prompt_lookup_num_tokens": 10,
    "penalty_alpha": 0.6,
    "dola_layers": "low",
}
BEAMS = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}
FORCED = {"num_beams": 4, "force_words_ids": [[5, 6], [[7], [8, 9]]]}
OWN = {"seed", "shortlist"}  # Hugging Face has no such option
# Objects, and what is set by Hugging Face itself.
OBJECTS = {"constraints", "cache_config", "compile_config", "watermarking_config", "is_assistant"}


def as_lists(value):
    return json.loads(json.dumps(value))


def test_the_tables_name_every_option():
    assert {*CHANGED, *APART, *BEAMS, *FORCED, *OWN, *OBJECTS} == set(OPTIONS)


def test_every_attribute_of_hugging_faces_is_an_option():
    theirs = {name for name in vars(transformers.GenerationConfig()) if not name.startswith("_")}
    assert theirs - {"transformers_version"} == set(OPTIONS) - OWN


def test_defaults_are_hugging_faces():
    theirs = transformers.GenerationConfig()
    assert {name for name in DEFAULTS.keys() - OWN if getattr(theirs, name, None) != DEFAULTS[name]} == set()


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_hugging_face_reads_each_field(tmp_path, name):
    config = GenerationConfig(**CHANGED)
    assert as_lists(getattr(config, name)) == CHANGED[name]
    assert CHANGED[name] != getattr(GenerationConfig(), name) or name == "use_cache"
    (tmp_path / "generation_config.json").write_text(config.to_json_string(), encoding="utf8")
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert getattr(theirs, name) == CHANGED[name]


@pytest.mark.parametrize("values", [APART, BEAMS, FORCED])
def test_hugging_face_reads_the_rest(tmp_path, values):
    GenerationConfig(**values).save_pretrained(tmp_path)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert {name: getattr(theirs, name) for name in values} == values


def test_hugging_faces_file_is_read_whole(tmp_path):
    transformers.GenerationConfig(**CHANGED).save_pretrained(tmp_path)
    config = GenerationConfig.from_pretrained(tmp_path)
    assert config == GenerationConfig(**CHANGED)
    assert config.transformers_version == transformers.__version__


def test_their_file_with_nulls_means_the_defaults(tmp_path):
    values = transformers.GenerationConfig().to_dict()
    assert values["top_k"] == 50 and None in values.values()
    values["max_length"] = None
    (tmp_path / "generation_config.json").write_text(json.dumps(values), encoding="utf8")
    assert GenerationConfig.from_json_file(tmp_path / "generation_config.json") == GenerationConfig()


def test_no_top_k_is_none_at_all():
    assert GenerationConfig(top_k=None).top_k == 0 and GenerationConfig.from_dict({}).top_k == 50


@pytest.mark.parametrize(
    "values", [CHANGED, APART, BEAMS, FORCED, {"seed": [1, 2], "shortlist": True}, {"max_length": 30}, {}]
)
def test_both_ways_round(values):
    config = GenerationConfig(**values, extra={"extra": 5})
    assert GenerationConfig.from_dict(json.loads(config.to_json_string())) == config
    assert GenerationConfig.from_dict(config.to_dict()) == config
    for copied in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert copied == config and hash(copied) == hash(config)


def test_biases_by_pieces_survive_json():
    config = GenerationConfig(sequence_bias={(5, 6): 2.0})
    assert config.sequence_bias == {(5, 6): 2.0}
    assert json.loads(config.to_json_string()) == {"sequence_bias": [[[5, 6], 2.0]]}


def test_equal_configs_are_equal_bytes_and_hashes():
    one = GenerationConfig(top_k=5, eos_token_id=[2], extra={"b": 1, "a": {"y": 1, "x": 2}})
    other = GenerationConfig(eos_token_id=(2,), extra={"a": {"x": 2, "y": 1}, "b": 1}, top_k=5)
    assert one == other and hash(one) == hash(other) and one.to_json_string() == other.to_json_string()
    assert one.to_json_string().encode().endswith(b"}\n")


def test_lists_are_copied():
    words = [[1, 2]]
    config = GenerationConfig(bad_words_ids=words)
    words[0].append(3)
    assert config.bad_words_ids == [[1, 2]]


def test_attributes_can_be_set_and_are_checked():
    config = GenerationConfig(extra={"kept": 1})
    config.top_k, config.eos_token_id = 3, (2, 5)
    assert (config.top_k, config.eos_token_id, config.eos_token_ids, config.kept) == (3, [2, 5], (2, 5), 1)
    config.top_k = None
    assert config.top_k == 0
    with pytest.raises(ConfigError, match="top_k to be .* got -1"):
        config.top_k = -1
    with pytest.raises(ConfigError, match="Did you mean top_k"):
        config.topk = 1
    with pytest.raises(AttributeError, match="no option 'missing'"):
        config.missing  # noqa: B018
    config.num_return_sequences = 2
    with pytest.raises(ConfigError, match="greedy decoding gives one"):
        config.validate()


def test_update_gives_back_what_is_no_option():
    config = GenerationConfig()
    assert config.update(top_k=4, attention_mask=5) == {"attention_mask": 5} and config.top_k == 4
    found, unused = GenerationConfig.from_dict({"top_k": 4}, top_p=0.5, other=1, return_unused_kwargs=True)
    assert (found.top_k, found.top_p, unused) == (4, 0.5, {"other": 1})


def test_what_is_written_is_what_is_not_as_by_default(tmp_path):
    config = GenerationConfig(top_k=4, extra={"transformers_version": "4.40.0"})
    assert config.to_diff_dict() == {"top_k": 4, "transformers_version": "4.40.0"}
    assert json.loads(config.to_json_string(ignore_metadata=True)) == {"top_k": 4}
    assert set(json.loads(config.to_json_string(use_diff=False))) >= {"top_k", "top_p", "num_beams"}
    assert repr(config).startswith("GenerationConfig {")
    config.save_pretrained(tmp_path / "new", "other.json")
    assert GenerationConfig.from_pretrained(tmp_path / "new", "other.json", top_p=0.5).top_p == 0.5
    config.to_json_file(tmp_path / "one.json")
    assert GenerationConfig.from_json_file(tmp_path / "one.json") == config
    with pytest.raises(ConfigError, match="pushed to the Hub"):
        config.save_pretrained(tmp_path, push_to_hub=True)


def test_what_a_models_config_says():
    config = GenerationConfig.from_model_config(BloomConfig(bos_token_id=1, eos_token_id=7, pad_token_id=3))
    theirs = transformers.GenerationConfig.from_model_config(
        transformers.BloomConfig(bos_token_id=1, eos_token_id=7, pad_token_id=3)
    )
    assert {name: getattr(config, name) for name in DEFAULTS if name not in OWN} == {
        name: getattr(theirs, name) for name in DEFAULTS if name not in OWN
    }


def test_none_stands_for_the_default():
    assert GenerationConfig(**dict.fromkeys([*OPTIONS, "extra"])) == GenerationConfig(top_k=0)


def test_how_many_pieces_may_be_added():
    assert GenerationConfig(max_length=12).max_added(5) == 7
    assert GenerationConfig().max_added(1000) == 20
    # In a config, Hugging Face cannot tell a max_length of 20 from the default; in a call it can.
    assert GenerationConfig(max_length=20).max_added(5) == 20
    assert GenerationConfig().replace(max_length=20).max_added(5) == 15
    assert GenerationConfig(max_length=12, max_new_tokens=3).max_added(100) == 3
    assert GenerationConfig(max_new_tokens=3).replace(max_length=12).max_added(5) == 3
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
    "shortlist": [1, "int8"],
    "seed": [-1, True, 1.0, [], [1, -1], [True], 2**64, "1"],
    "prompt_lookup_num_tokens": [0, True, 1.5],
    "max_matching_ngram_size": [0, True],
    "extra": [5, [1], "a"],
    "constraints": [5, [5], ["word"]],
    "num_beam_groups": [0, True],
    "diversity_penalty": [-0.1, NAN],
    "penalty_alpha": [-0.1, 1.1, True],
    "dola_layers": ["middle", [], [-1], 3],
    "use_cache": [1, "true"],
    "cache_implementation": ["quantized", "hybrid", 5],
    "return_legacy_cache": [1],
    "prefill_chunk_size": [0, True],
    "epsilon_cutoff": [-0.1, 1, NAN],
    "eta_cutoff": [-0.1, 1.5],
    "encoder_repetition_penalty": [0, NAN],
    "encoder_no_repeat_ngram_size": [-1],
    "force_words_ids": [[], [[]], [[[]]], [5], 5, [[-1]], [[[1], []]]],
    "renormalize_logits": [1],
    "remove_invalid_values": [0],
    "exponential_decay_length_penalty": [5, [1], [1, 0], [-1, 1.1], [1, 1.1, 2], [1.5, 1.1]],
    "suppress_tokens": [5, [-1], [True], "ab"],
    "begin_suppress_tokens": [[1.0], 3],
    "sequence_bias": [{}, [], {5: 1.0}, {(): 1.0}, {(5,): NAN}, [[5, 1.0]], {(-1,): 1.0}],
    "token_healing": [1],
    "guidance_scale": [NAN, "1"],
    "low_memory": [1],
    "watermarking_config": [{"bias": 2.5}],
    "output_attentions": [1],
    "output_hidden_states": [1],
    "output_scores": [1],
    "output_logits": [1],
    "return_dict_in_generate": [1],
    "is_assistant": [1],
    "num_assistant_tokens": [0, "5"],
    "num_assistant_tokens_schedule": ["other"],
    "assistant_confidence_threshold": [-0.1, 1.1],
    "assistant_early_exit": [0],
    "assistant_lookbehind": [-1],
    "target_lookbehind": [-1],
    "disable_compile": [1],
}


@pytest.mark.parametrize("name, value", [(name, value) for name in BAD for value in BAD[name]])
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(ConfigError, match=rf"expected {name} to be .*, got ") as caught:
        GenerationConfig(**{name: value})
    assert len(str(caught.value)) < 300
    with pytest.raises(ConfigError):
        GenerationConfig().replace(**{name: value})


def test_every_option_has_wrong_values():
    objects = {"cache_config", "compile_config", "decoder_start_token_id"}
    assert set(BAD) == {*OPTIONS, "extra"} - objects


@pytest.mark.parametrize(
    "values, message",
    [
        ({"num_return_sequences": 2}, "greedy decoding gives one"),
        ({"num_return_sequences": 3, "num_beams": 2}, "at most num_beams=2, got 3"),
        ({"num_return_sequences": 3, "num_beams": 2, "do_sample": True}, "at most num_beams=2, got 3"),
        ({"num_beams": 2, "prompt_lookup_num_tokens": 5}, "None in beam search, got 5"),
        ({"num_beams": 2, "num_beam_groups": 2}, "diversity_penalty above 0"),
        ({"num_beams": 3, "num_beam_groups": 2, "diversity_penalty": 1.0}, "divides num_beams=3, got 2"),
        ({"num_beams": 2, "diversity_penalty": 1.0}, "num_beam_groups above 1"),
        ({**BEAMS, "do_sample": True}, "do_sample to be False"),
        ({"force_words_ids": [[5]]}, "num_beams above 1"),
        ({**FORCED, "do_sample": True}, "without do_sample"),
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
    with pytest.raises(ConfigError, match="The options are max_length, max_new_tokens, "):
        call(xyzzy=5)


@pytest.mark.parametrize(
    "name, value", [("watermarking_config", {"bias": 2.5}), ("cache_implementation", "quantized")]
)
def test_what_is_not_followed_is_warned_of(tmp_path, name, value):
    (tmp_path / "generation_config.json").write_text(json.dumps({name: value, "top_k": 5}), encoding="utf8")
    with pytest.warns(BloomWarning, match=f"{name} has no effect"):
        config = GenerationConfig.from_pretrained(tmp_path)
    assert config.extra[name] == value and getattr(config, name) is None and config.top_k == 5


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
