import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.conversion.vocabulary import BYTES, Vocabulary
from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, new_tokenizer, train_tokenizer

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
MERGES = [("d", "e"), ("b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc"), ("abc", "de"), ("x", "y")]


def make_state(pieces=(), merges=MERGES, **changes):
    """The content of a tokenizer.json whose ids go control tokens, bytes, pieces."""
    state = json.loads(new_tokenizer().to_str())
    merged = dict.fromkeys([*pieces, *(left + right for left, right in merges)])
    vocab = {piece: i for i, piece in enumerate([*SPECIAL, *sorted(BYTES), *merged])}
    state["model"].update(vocab=vocab, merges=[list(merge) for merge in merges])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    state["added_tokens"] = [{"id": i, "content": t, "special": True, **flags} for i, t in enumerate(SPECIAL)]
    return {**state, **changes}


def read(folder, state):
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf8")
    return Vocabulary(folder / "tokenizer.json", BloomTokenizerFast.from_directory(folder))


def trim(vocabulary, *used):
    """The trimmed content, and the pieces in the order of their ids."""
    kept = vocabulary.close([vocabulary.ids[piece] for piece in used])
    state = json.loads(vocabulary.trim(kept))
    vocab = state["model"]["vocab"]
    assert list(vocab.values()) == list(range(len(vocab)))
    return state, list(vocab)


def test_what_a_piece_is_merged_from_is_kept(tmp_path):
    vocabulary = read(tmp_path, make_state())
    state, pieces = trim(vocabulary, "abc")
    assert pieces == [*SPECIAL, *sorted(BYTES), "bc", "ab", "abc"]  # as before, without the others
    assert state["model"]["merges"] == [["b", "c"], ["a", "b"], ["ab", "c"], ["a", "bc"]]
    state, pieces = trim(vocabulary, "xy", "bc")
    assert pieces[260:] == ["bc", "xy"] and state["model"]["merges"] == [["b", "c"], ["x", "y"]]
    assert trim(vocabulary)[1] == [*SPECIAL, *sorted(BYTES)]
    assert trim(vocabulary, "abcde")[1][260:] == ["de", "bc", "ab", "abc", "abcde"]


def test_all_else_stays(tmp_path):
    before = make_state()
    after, _ = trim(read(tmp_path, before), *before["model"]["vocab"])
    assert after == before
    after, _ = trim(read(tmp_path, before), "abc")
    names = ("vocab", "merges")
    assert {k: v for k, v in after["model"].items() if k not in names} == {
        k: v for k, v in before["model"].items() if k not in names
    }
    assert {**after, "model": 0} == {**before, "model": 0}


def test_merges_of_older_files(tmp_path):
    state = make_state()
    state["model"]["merges"] = [" ".join(merge) for merge in MERGES]
    assert trim(read(tmp_path, state), "abc")[0]["model"]["merges"] == ["b c", "a b", "ab c", "a bc"]


def test_added_tokens_and_what_names_them(tmp_path):
    added = {"id": 999, "content": "covid-19", "special": False, "normalized": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    end = {"id": "END", "ids": [4], "tokens": ["!"]}  # names an ordinary piece
    template = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "END", "type_id": 0}}]
    state = make_state(
        pieces=["zz"],
        post_processor={
            "type": "TemplateProcessing",
            "single": template,
            "pair": template,
            "special_tokens": {"END": {**end, "ids": [260]}},
        },
    )
    state["added_tokens"].append({**added, **flags})
    vocabulary = read(tmp_path, state)
    new, pieces = trim(vocabulary, "xy")
    assert pieces[260:] == ["zz", "xy"]
    assert new["post_processor"]["special_tokens"]["END"]["ids"] == [260]
    assert new["added_tokens"][-1] == {**added, **flags, "id": 262}
    before, after = (Tokenizer.from_str(json.dumps(content)) for content in (state, new))
    text = "xy covid-19 x"
    assert after.encode(text).tokens == before.encode(text).tokens
    assert after.encode("covid-19", add_special_tokens=False).ids == [262]
    state["post_processor"]["special_tokens"]["END"]["ids"] = [4_000]
    with pytest.raises(CheckpointError, match=r"tokenizer.json names a piece by the id 4000"):
        read(tmp_path, state)


def test_a_control_token_that_only_the_options_name(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<extra>"}', encoding="utf8")
    vocabulary = read(tmp_path, make_state())
    kept = vocabulary.close([])
    assert kept[-1] == vocabulary.ids["<extra>"] == 4 + 256 + 6  # the library puts it behind the vocabulary
    assert "<extra>" not in vocabulary.trim(kept)


def test_ids_with_gaps(tmp_path):
    state = make_state()
    state["model"]["vocab"]["xy"] = 5_000
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    state["added_tokens"].append({"id": 266, "content": "covid-19", **flags})
    vocabulary = read(tmp_path, state)
    assert vocabulary.ids["covid-19"] == 266  # the library counts pieces
    kept = vocabulary.close([5_000])
    assert kept[260:] == [5_000, 266]
    assert Tokenizer.from_str(vocabulary.trim(kept)).encode("xycovid-19").ids == [260, 261]


@pytest.mark.parametrize(
    "change, match",
    [
        ({"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0},
                    "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}}, "the type 'WordPiece'"),
        ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, r"turn text into bytes and back \(ByteLevel\)"),
        ({"decoder": None}, r"turn text into bytes and back \(ByteLevel\)"),
        ({"dropout": 0.1}, r"at random \(dropout 0.1\)"),
        ({"end_of_word_suffix": "</w>"}, "by their place in a word"),
        ({"continuing_subword_prefix": "##"}, "by their place in a word"),
    ],
)  # fmt: skip
def test_other_kinds_of_tokenizers(tmp_path, change, match):
    state = make_state(merges=[])
    for name, value in change.items():
        (state if name in state else state["model"])[name] = value
    with pytest.raises(CheckpointError, match=rf"byte-level BPE .* got .*{match}.* cannot be trimmed"):
        read(tmp_path, state)


def test_a_byte_without_a_piece(tmp_path):
    state = make_state(merges=[])
    del state["model"]["vocab"]["Ġ"]
    with pytest.raises(CheckpointError, match=r"without pieces for 1 bytes \(Ġ\)"):
        read(tmp_path, state)


@pytest.mark.parametrize("merge", [["q", "absent"], ["q", "r"], ["q"], 3])
def test_merges_that_contradict_the_vocabulary(tmp_path, merge):
    state = make_state()
    state["model"]["merges"].insert(2, merge)
    with pytest.raises(ConfigError, match=r"tokenizer.json is not a tokenizer"):
        read(tmp_path, state)


def test_pieces_that_share_an_id(tmp_path):
    state = make_state()
    state["model"]["vocab"]["abc"] = state["model"]["vocab"]["xy"]
    with pytest.raises(CheckpointError, match=r"an id of its own, got \d+ for '(abc|xy)' and '(abc|xy)'"):
        read(tmp_path, state)


def test_merges_that_go_in_a_circle(tmp_path):
    state = make_state(pieces=[""], merges=[("", "a"), ("a", ""), *MERGES])
    assert {"ab", "bc", ""} <= set(trim(read(tmp_path, state), "abc")[1])


# Any text


@pytest.fixture(scope="module")
def pair(tmp_path_factory, tiny_tokenizer_json):
    """The tokenizer of the tests and one that is trimmed to some of its sentences, with the kept ids."""
    folder = tmp_path_factory.mktemp("trimmed")
    vocabulary = read(folder, json.loads(tiny_tokenizer_json))
    whole = BloomTokenizerFast.from_directory(folder)
    corpus = ["Leo asubuhi watoto walikwenda", "यह किताब बहुत अच्छी है।", "今天天气很好，我们去公园散步吧。"]
    kept = vocabulary.close({i for text in corpus for i in whole.encode(text)})
    return whole, BloomTokenizerFast.from_strings(vocabulary.trim(kept).encode(), {}), kept


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="Leo asubhiwtkdn यह किताब बहुत अच्छी है। 今天气很好，我们去公园\n\t<s>/é🙃") | st.text())
def test_any_text_comes_back(pair, text):
    whole, trimmed, kept = pair
    old, new = (tokenizer.encode(text, split_special_tokens=True) for tokenizer in (whole, trimmed))
    assert trimmed.decode(new) == whole.decode(old) == text
    if set(old) <= set(kept):  # then nothing changes, whatever the text
        assert [kept[i] for i in new] == old


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab c", min_size=1, max_size=12), min_size=1, max_size=5), st.data())
def test_texts_of_kept_pieces_are_encoded_as_before(tmp_path_factory, lines, data):
    """Of any vocabulary: few letters make many pieces that overlap."""
    trained = train_tokenizer([lines], TokenizerConfig(vocab_size=300, min_frequency=1), seed=0)
    folder = tmp_path_factory.mktemp("any")
    trained.save(str(folder / "tokenizer.json"))
    whole = BloomTokenizerFast.from_directory(folder)
    vocabulary = Vocabulary(folder / "tokenizer.json", whole)
    kept = vocabulary.close(whole.encode(data.draw(st.sampled_from(lines))))
    trimmed = BloomTokenizerFast.from_strings(vocabulary.trim(kept).encode(), {})
    for text in (*lines, data.draw(st.text(alphabet="ab c"))):
        old = whole.encode(text)
        if set(old) <= set(kept):
            assert [kept[i] for i in trimmed.encode(text)] == old
        assert trimmed.decode(trimmed.encode(text)) == text
