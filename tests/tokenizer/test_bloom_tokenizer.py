import copy
import pickle
import threading
from pathlib import Path

import numpy
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import BloomError, ConfigError, InputError

TEXT_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "text"

TEXTS = [
    "The river was high.",
    "",
    " ",
    "  two  spaces\t\ttabs\n\nlines \r\n",
    "今天天气很好。",
    "क्षत्रिय ज़ ড়",
    "🏳️‍🌈👩‍👩‍👧‍👦 e\u0301 \u200b\u200d\ufeff \x00\x07",
    "a</s>b <pad><s> <unk>",
    "|।۔،!?…,。、",
    "naïve Ωmega ﷺ 𝔘𝔫𝔦",
]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture
def hf_tokenizer(tiny_tokenizer_json):
    def make(**options):
        backend = Tokenizer.from_str(tiny_tokenizer_json)
        return transformers.BloomTokenizerFast(tokenizer_object=backend, **options)

    return make


@pytest.fixture
def our_tokenizer(tiny_tokenizer_json):
    def make(**options):
        return BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json), **options)

    return make


def assert_same(ours, theirs, names=("input_ids", "attention_mask")):
    for name in names:
        assert ours[name] == theirs[name], name


OFFSETS = ("input_ids", "attention_mask", "offset_mapping")


@pytest.mark.parametrize("add_prefix_space", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_offsets_are_hugging_faces(our_tokenizer, hf_tokenizer, text, add_prefix_space):
    ours = our_tokenizer(add_prefix_space=add_prefix_space)
    theirs = hf_tokenizer(add_prefix_space=add_prefix_space)
    assert_same(ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True), OFFSETS)
    assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.encode(text) == theirs.encode(text)
    ids = ours.encode(text)
    for skip in (False, True):
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


@settings(max_examples=200, deadline=None)
@given(text=ANY_TEXT)
def test_ids_and_offsets_on_any_text(tiny_tokenizer_json, text):
    ours = BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))
    theirs = transformers.BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json))
    assert_same(ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True), OFFSETS)


@pytest.mark.skipif(not TEXT_FOLDER.is_dir(), reason=f"the text collection is not at {TEXT_FOLDER}")
def test_ids_and_offsets_on_texts_of_many_languages(tiny_tokenizer, hf_tokenizer):
    theirs = hf_tokenizer()
    files = sorted(TEXT_FOLDER.glob("*.txt"))
    assert files
    for file in files:
        lines = file.read_text(encoding="utf8").splitlines()
        batch = lines[:: max(1, len(lines) // 500)]  # from all of the file: it may hold several sources
        encodings = tiny_tokenizer.encode_batch(batch)
        expected = theirs(batch, return_offsets_mapping=True, return_attention_mask=False)
        assert [e.ids for e in encodings] == expected["input_ids"], file.name
        assert [e.offsets for e in encodings] == expected["offset_mapping"], file.name


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "options",
    [
        dict(padding=True),
        dict(padding="longest", pad_to_multiple_of=8),
        dict(padding="max_length", max_length=60),
        dict(padding=True, truncation=True, max_length=7),
        dict(padding="max_length", truncation=True, max_length=8, pad_to_multiple_of=4),
        dict(truncation=True, max_length=5),
        dict(padding=False),
        dict(padding="do_not_pad"),
    ],
    ids=str,
)
def test_padding_and_truncation(our_tokenizer, hf_tokenizer, side, options):
    ours, theirs = our_tokenizer(padding_side=side), hf_tokenizer(padding_side=side)
    options = {**options, "return_offsets_mapping": True}
    assert_same(ours(TEXTS, **options), theirs(TEXTS, **options), OFFSETS)
    other = "left" if side == "right" else "right"
    assert_same(
        ours(TEXTS, padding_side=other, **options), theirs(TEXTS, padding_side=other, **options), OFFSETS
    )


def test_one_text_is_a_batch_of_one(tiny_tokenizer):
    for text in TEXTS:
        alone = tiny_tokenizer(text, return_offsets_mapping=True)
        batch = tiny_tokenizer([text], return_offsets_mapping=True)
        assert {name: [row] for name, row in alone.items()} == dict(batch)
        together = tiny_tokenizer(TEXTS)["input_ids"][TEXTS.index(text)]
        assert together == alone["input_ids"]


def test_parallel_or_not_is_the_same(tiny_tokenizer):
    one, other = (tiny_tokenizer.encode_batch(TEXTS, parallel=parallel) for parallel in (True, False))
    assert [(e.ids, e.offsets) for e in one] == [(e.ids, e.offsets) for e in other]


def test_a_generator_is_read_once(tiny_tokenizer):
    assert dict(tiny_tokenizer(text for text in TEXTS)) == dict(tiny_tokenizer(TEXTS))


@pytest.mark.parametrize("words", [["The", "river"], [], ["今天", "é", ""], [["a", "b"], [], ["c"]]])
def test_words(our_tokenizer, hf_tokenizer, words):
    ours, theirs = our_tokenizer(add_prefix_space=True), hf_tokenizer(add_prefix_space=True)
    options = dict(is_split_into_words=True, return_offsets_mapping=True)
    assert_same(ours(words, **options), theirs(words, **options), OFFSETS)


@pytest.mark.parametrize("kind, array", [("pt", torch.Tensor), ("np", numpy.ndarray)])
def test_tensors(tiny_tokenizer, kind, array):
    lists = tiny_tokenizer(TEXTS, padding=True, return_offsets_mapping=True)
    arrays = tiny_tokenizer(TEXTS, padding=True, return_offsets_mapping=True, return_tensors=kind)
    longest = max(map(len, tiny_tokenizer(TEXTS)["input_ids"]))
    assert tuple(arrays["input_ids"].shape) == (len(TEXTS), longest)
    for name in OFFSETS:
        assert isinstance(arrays[name], array) and str(arrays[name].dtype).endswith("int64")
        assert arrays[name].tolist() == [
            [list(x) if isinstance(x, tuple) else x for x in r] for r in lists[name]
        ]
    assert len(tiny_tokenizer("The river", return_tensors=kind).input_ids) == 1
    assert tuple(tiny_tokenizer("", return_tensors=kind).input_ids.shape) == (1, 0)
    assert tuple(tiny_tokenizer([], return_tensors=kind, padding=True).input_ids.shape) == (0, 0)


def test_an_encodings_attributes(tiny_tokenizer):
    encoding = tiny_tokenizer("a", return_tensors="pt").to("cpu")
    assert torch.equal(encoding.input_ids, encoding["input_ids"])
    with pytest.raises(AttributeError, match="offset_mapping"):
        _ = encoding.offset_mapping


@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT)
def test_decoding_loses_nothing(tiny_tokenizer_json, text):
    tokenizer = BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))
    for as_text in (True, False):
        ids = tokenizer(text, split_special_tokens=as_text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.batch_decode([ids, torch.tensor(ids, dtype=torch.long)]) == [text, text]


@pytest.mark.parametrize("text", ["</s>", "a<pad>b", "<s><unk></s>", " </s> x", "</s</s>"])
def test_control_tokens_in_text_are_text(our_tokenizer, text):
    for tokenizer, options in (
        (our_tokenizer(), dict(split_special_tokens=True)),
        (our_tokenizer(split_special_tokens=True), {}),
    ):
        ids = tokenizer(text, **options)["input_ids"]
        assert not set(ids) & set(tokenizer.all_special_ids)
        assert tokenizer.decode(ids) == tokenizer.decode(ids, skip_special_tokens=True) == text
        control = tokenizer(text, split_special_tokens=False)["input_ids"]
        assert set(control) & set(tokenizer.all_special_ids)


def test_two_threads_with_different_treatment_of_control_tokens(tiny_tokenizer):
    text = "a </s> b"
    expected = {flag: tiny_tokenizer(text, split_special_tokens=flag)["input_ids"] for flag in (True, False)}
    assert expected[True] != expected[False]
    wrong = []

    def work(flag):
        for _ in range(1500):
            if tiny_tokenizer(text, split_special_tokens=flag)["input_ids"] != expected[flag]:
                wrong.append(flag)

    threads = [threading.Thread(target=work, args=(flag,)) for flag in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_special_tokens(tiny_tokenizer, hf_tokenizer):
    theirs = hf_tokenizer()
    for name in ("unk", "bos", "eos", "pad"):
        assert getattr(tiny_tokenizer, f"{name}_token_id") == getattr(theirs, f"{name}_token_id")
    assert tiny_tokenizer.all_special_tokens == theirs.all_special_tokens == ["<s>", "</s>", "<unk>", "<pad>"]
    assert tiny_tokenizer.all_special_ids == theirs.all_special_ids == [1, 2, 0, 3]
    assert len(tiny_tokenizer) == len(theirs) and tiny_tokenizer.vocab_size == theirs.vocab_size
    assert tiny_tokenizer.get_vocab() == theirs.get_vocab()


def test_missing_special_tokens_are_added(our_tokenizer, hf_tokenizer):
    ours, theirs = our_tokenizer(pad_token="<fill>"), hf_tokenizer(pad_token="<fill>")
    assert ours.pad_token_id == theirs.pad_token_id == len(ours) - 1
    assert len(ours) == len(theirs)


def test_ids_and_pieces(tiny_tokenizer):
    pieces = tiny_tokenizer.tokenize("The river, अ")
    ids = tiny_tokenizer.convert_tokens_to_ids(pieces)
    assert ids == tiny_tokenizer.encode("The river, अ")
    assert tiny_tokenizer.convert_ids_to_tokens(torch.tensor(ids)) == pieces
    assert tiny_tokenizer.convert_tokens_to_ids(["no such piece"]) == [tiny_tokenizer.unk_token_id]
    assert tiny_tokenizer.convert_ids_to_tokens([10**6]) == [None]


@pytest.mark.parametrize(
    "options", [{}, dict(add_prefix_space=True, padding_side="right"), dict(pad_token="<fill>")]
)
def test_hugging_face_loads_ours(tmp_path, our_tokenizer, options):
    ours = our_tokenizer(**options)
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert type(theirs) is transformers.BloomTokenizerFast
    asked = dict(padding=True, return_offsets_mapping=True)
    assert_same(ours(TEXTS, **asked), theirs(TEXTS, **asked), OFFSETS)
    assert theirs.add_prefix_space == ours.add_prefix_space


@pytest.mark.parametrize(
    "options",
    [dict(padding_side="left"), dict(add_prefix_space=True, padding_side="right"), dict(pad_token="<fill>")],
)
def test_ours_loads_hugging_faces(tmp_path, hf_tokenizer, options):
    theirs = hf_tokenizer(**options)
    theirs.save_pretrained(tmp_path)
    ours = BloomTokenizerFast.from_directory(tmp_path)
    assert ours.padding_side == theirs.padding_side
    asked = dict(padding=True, return_offsets_mapping=True)
    assert_same(ours(TEXTS, **asked), theirs(TEXTS, **asked), OFFSETS)


def test_saving_keeps_everything(tmp_path, our_tokenizer):
    tokenizer = our_tokenizer(add_prefix_space=True, split_special_tokens=True, model_max_length=77)
    tokenizer(TEXTS, padding="max_length", truncation=True, max_length=5)  # leaves no trace in the file
    tokenizer.save_pretrained(tmp_path / "a")
    back = BloomTokenizerFast.from_directory(tmp_path / "a")
    assert back.init_kwargs["model_max_length"] == 77
    assert (back.add_prefix_space, back.split_special_tokens) == (True, True)
    assert dict(back(TEXTS)) == dict(tokenizer(TEXTS))
    back.save_pretrained(tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == sorted(
        p.name for p in (tmp_path / "a").iterdir()
    )
    content, config = tokenizer.to_strings()
    assert dict(BloomTokenizerFast.from_strings(content, config)(TEXTS)) == dict(tokenizer(TEXTS))


def test_a_file_with_padding_and_truncation_switched_on(tmp_path, tiny_tokenizer_json):
    backend = Tokenizer.from_str(tiny_tokenizer_json)
    backend.enable_padding(length=50)
    backend.enable_truncation(max_length=3)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = BloomTokenizerFast.from_directory(tmp_path)
    expected = Tokenizer.from_str(tiny_tokenizer_json).encode(TEXTS[0]).ids
    assert tokenizer(TEXTS[0])["input_ids"] == expected and len(expected) > 3


def test_options_given_now_override_the_files(tmp_path, our_tokenizer):
    our_tokenizer(padding_side="left").save_pretrained(tmp_path)
    tokenizer = BloomTokenizerFast.from_directory(tmp_path, padding_side="right", add_prefix_space=True)
    assert tokenizer.padding_side == "right"
    assert tokenizer.encode("The") == our_tokenizer().encode(" The")


@pytest.mark.parametrize("copied", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_copies(our_tokenizer, copied):
    tokenizer = our_tokenizer(split_special_tokens=True, padding_side="right")
    back = copied(tokenizer)
    assert dict(back(TEXTS, padding=True)) == dict(tokenizer(TEXTS, padding=True))
    assert back(TEXTS, split_special_tokens=False) == tokenizer(TEXTS, split_special_tokens=False)


@pytest.mark.parametrize(
    "text",
    [None, 5, [5], b"text", ["a", None], [["a"]], [["a", None]], "\ud800", ["fine", "x\udfffy"]],
    ids=ascii,
)
def test_what_is_no_text(tiny_tokenizer, text):
    with pytest.raises(InputError):
        tiny_tokenizer(text)


@pytest.mark.parametrize("words", [None, "text", [5], [["a"], "b"], [["a", None]], [["\ud800"]]], ids=ascii)
def test_what_is_no_words(our_tokenizer, words):
    with pytest.raises(InputError):
        our_tokenizer(add_prefix_space=True)(words, is_split_into_words=True)


def test_a_batch_is_not_one_text(tiny_tokenizer):
    with pytest.raises(InputError, match="sequence of texts"):
        tiny_tokenizer.encode_batch("text")


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(is_split_into_words=True), "add_prefix_space=True"),
        (dict(truncation=True, max_length=-1), "max_length"),
        (dict(padding="shortest"), "shortest"),
        (dict(padding=True, padding_side="top"), "padding_side"),
        (dict(padding=True, pad_to_multiple_of=-3), "pad_to_multiple_of"),
        (dict(return_tensors="pt"), "padding=True"),
        (dict(padding=True, return_tensors="tf"), "return_tensors"),
    ],
)
def test_options_that_do_not_fit(tiny_tokenizer, options, message):
    with pytest.raises(BloomError, match=message):
        tiny_tokenizer(["one", "and two, and more"], **options)


@pytest.mark.parametrize("ids", [[-1], [5, -100], [2**40]])
def test_what_is_no_id(tiny_tokenizer, ids):
    with pytest.raises(InputError, match="ids of pieces"):
        tiny_tokenizer.decode(ids)


@pytest.mark.parametrize(
    "options", [dict(padding_side="top"), dict(add_prefix_space="yes"), dict(pad_token=3), dict(eos_token={})]
)
def test_options_of_a_tokenizer(our_tokenizer, options):
    with pytest.raises(ConfigError):
        our_tokenizer(**options)


def test_missing_and_damaged_files(tmp_path, tiny_tokenizer):
    with pytest.raises(ConfigError, match=r"No tokenizer.json in .*Hugging Face layout"):
        BloomTokenizerFast.from_directory(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        good = (tmp_path / name).read_bytes()
        for content in (b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ConfigError):
                BloomTokenizerFast.from_directory(tmp_path)
        (tmp_path / name).write_bytes(good)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": 5}', encoding="utf8")
    with pytest.raises(ConfigError, match="control token"):
        BloomTokenizerFast.from_directory(tmp_path)
    (tmp_path / "special_tokens_map.json").unlink()
    BloomTokenizerFast.from_directory(tmp_path)


def test_a_failed_save_leaves_the_old_file(tmp_path, tiny_tokenizer, our_tokenizer, monkeypatch):
    tiny_tokenizer.save_pretrained(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(self, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        our_tokenizer(padding_side="right").save_pretrained(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def add_to(hf, kind):
    """Give one of Hugging Face's tokenizers further tokens, in one of its ways."""
    if kind == "additional":
        hf.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|größe|>"]})
    elif kind == "named":
        hf.add_special_tokens({"sep_token": "<sep>", "mask_token": AddedToken("<mask>", lstrip=True)})
    elif kind == "records":
        tokens = [AddedToken("<a>", rstrip=True), AddedToken("<b>", single_word=True)]
        hf.add_special_tokens({"additional_special_tokens": tokens, "cls_token": AddedToken("<cls>")})
    elif kind == "another eos":
        hf.add_special_tokens({"eos_token": AddedToken("<|im_end|>", normalized=False)})
    else:
        hf.add_tokens(["Straßenbahn", "ज़िंदगी"])
    return hf


KINDS = ("additional", "named", "records", "another eos", "words")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["disk", "strings"])
def test_hugging_face_reads_further_tokens_that_we_saved(tmp_path, hf_tokenizer, kind, way):
    theirs = add_to(hf_tokenizer(), kind)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = BloomTokenizerFast.from_directory(tmp_path / "theirs")
    if way == "strings":
        ours = BloomTokenizerFast.from_strings(*ours.to_strings())
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert type(again) is transformers.BloomTokenizerFast
    assert again.all_special_tokens == theirs.all_special_tokens
    assert again.special_tokens_map == theirs.special_tokens_map
    assert again.get_added_vocab() == theirs.get_added_vocab()
    assert sorted(ours.all_special_tokens) == sorted(theirs.all_special_tokens)
    assert ours.additional_special_tokens == theirs.additional_special_tokens
    text = "a <a> b <b> <sep><mask>x<|user|><cls> <|größe|>Straßenbahn <|im_end|></s>"
    assert ours(text)["input_ids"] == again(text)["input_ids"] == theirs(text)["input_ids"]


@pytest.mark.parametrize("value", [5, "<|user|>", [5], [""], {"a": "<b>"}, [{"special": True}]])
def test_further_tokens_that_are_none(our_tokenizer, value):
    with pytest.raises(ConfigError, match="additional_special_tokens to be a list"):
        our_tokenizer(additional_special_tokens=value)
    with pytest.raises(ConfigError, match="sep_token to be a control token"):
        our_tokenizer(sep_token=value if value != "<|user|>" else 5)


def test_a_chat_template_of_a_file_of_its_own(tmp_path, hf_tokenizer):
    theirs = hf_tokenizer()
    theirs.chat_template = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    theirs.save_pretrained(tmp_path / "theirs")
    assert (tmp_path / "theirs" / "chat_template.jinja").is_file()
    for source in ("theirs", "ours"):  # read from both, and written over itself
        BloomTokenizerFast.from_directory(tmp_path / source).save_pretrained(tmp_path / "ours")
        again = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
        assert again.chat_template == theirs.chat_template


WORDS = ["Straßenbahn", "été", "今天", "ÿ", "two words", "Ωmega", "क्षत्रिय"]


@pytest.mark.parametrize(
    "text", ["Die Straßenbahn", "Straßenbahn", "l'été, 今天Ωmega ÿ", "two words été</s>क्षत्रियÿ今天"]
)
def test_added_words_are_decoded_as_they_were_written(tiny_tokenizer, text):
    backend = tiny_tokenizer.backend_tokenizer
    backend.add_tokens(
        [AddedToken(word, normalized=False) for word in WORDS if backend.token_to_id(word) is None]
    )
    ids = tiny_tokenizer.encode(text)
    assert tiny_tokenizer.decode(ids) == text
    assert tiny_tokenizer.batch_decode([ids, ids]) == [text] * 2
    words = [word for word in WORDS if word in text and word in tiny_tokenizer.literal_pieces]
    assert words and set(tiny_tokenizer.convert_tokens_to_ids(words)) <= set(ids)
    assert tiny_tokenizer.decode(ids, skip_special_tokens=True) == text.replace("</s>", "")


def test_added_words_between_parts_of_characters(tiny_tokenizer):
    """Half a character is U+FFFD, whatever comes after it."""
    backend = tiny_tokenizer.backend_tokenizer
    backend.add_tokens(
        [AddedToken("Straße", normalized=False), AddedToken("<ß>", special=True, normalized=False)]
    )
    half = tiny_tokenizer.convert_tokens_to_ids(["à", "¤"])  # two bytes of three
    word, control = tiny_tokenizer.convert_tokens_to_ids(["Straße", "<ß>"])
    assert tiny_tokenizer.decode([*half, word, half[0], word]) == "\ufffdStraße\ufffdStraße"
    assert tiny_tokenizer.decode([control, word, 2]) == "<ß>Straße</s>"
    assert tiny_tokenizer.decode([control, word, 2], skip_special_tokens=True) == "Straße"


def test_one_is_no_list(tiny_tokenizer, hf_tokenizer):
    theirs = hf_tokenizer()
    for token in ("</s>", "<pad>", "river", "no such piece", "a"):
        assert tiny_tokenizer.convert_tokens_to_ids(token) == theirs.convert_tokens_to_ids(token)
    assert tiny_tokenizer.convert_tokens_to_ids(["</s>", "a"]) == theirs.convert_tokens_to_ids(["</s>", "a"])
    for one in (2, numpy.int64(300), torch.tensor(300)):
        assert tiny_tokenizer.convert_ids_to_tokens(one) == theirs.convert_ids_to_tokens(int(one))
        assert tiny_tokenizer.decode(one) == theirs.decode(one)
    assert tiny_tokenizer.convert_ids_to_tokens(10**6) is None


def test_loading_lists_no_pieces(monkeypatch):
    """For BLOOM's vocabulary that takes as long as reading its file."""
    listed = []
    monkeypatch.setattr("spacy_bloom.tokenizer.bloom_tokenizer._check_ids", listed.append)
    tokenizer = BloomTokenizerFast.from_pretrained("tiny-bloom")
    assert tokenizer.vocab_size == 12288 and listed == []
