import json
import warnings
from pathlib import Path

import pytest
import transformers
from tokenizers import AddedToken, Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import BloomWarning, CheckpointError, InputError

HF = transformers.BloomTokenizerFast


def expect_same(ours, theirs, text="a <x> b</s><i> c é"):
    assert ours(text).input_ids == theirs(text).input_ids
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    for name in ("padding_side", "truncation_side", "model_max_length", "add_prefix_space", "chat_template"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("clean_up_tokenization_spaces", "split_special_tokens", "model_input_names"):
        assert getattr(ours, name) == getattr(theirs, name), name


def change(tokenizer):
    """Every attribute that a file keeps."""
    tokenizer.add_tokens(["<x>", AddedToken("été", lstrip=True)])
    tokenizer.add_special_tokens({"sep_token": "<sep>", "additional_special_tokens": ["<i>"]})
    tokenizer.padding_side, tokenizer.model_max_length = "right", 99
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = "{{ messages }}"
    return tokenizer


@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_either_reads_what_either_wrote(both, tmp_path, writer):
    ours, theirs = both()
    written = change(ours if writer == "ours" else theirs).save_pretrained(tmp_path)
    assert all(Path(file).parent == tmp_path and Path(file).is_file() for file in written)
    names = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}
    assert {Path(file).name for file in written} == names
    back = BloomTokenizerFast.from_pretrained(tmp_path), HF.from_pretrained(tmp_path)
    expect_same(*back)
    extended = [repr(tokenizer.special_tokens_map_extended) for tokenizer in back]
    assert extended[0] == extended[1] or writer == "ours"  # which writes them as text
    again = BloomTokenizerFast.from_pretrained(tmp_path, model_max_length=5, sep_token="<s>")
    assert (again.model_max_length, again.sep_token, again.pad_token) == (5, "<s>", "</s>")
    assert again.name_or_path == str(tmp_path)


def test_attributes_that_were_set_are_saved(both, tmp_path):
    ours, _ = both()
    change(ours)
    ours.truncation_side, ours.split_special_tokens = "left", True
    for back in (
        BloomTokenizerFast.from_strings(*ours.to_strings()),
        BloomTokenizerFast.from_pretrained(Path(ours.save_pretrained(tmp_path)[0]).parent),
    ):
        expect_same(back, ours)
        assert back.to_strings() == ours.to_strings()


def test_templates_by_name(both, tmp_path):
    templates = {"default": "{{ messages }}", "tool_use": "{{ tools }}"}
    ours, theirs = both(chat_template=templates)
    ours.save_pretrained(tmp_path / "ours")
    assert sorted(p.name for p in (tmp_path / "ours").iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    theirs.save_pretrained(tmp_path / "theirs")
    for source in ("ours", "theirs"):
        assert BloomTokenizerFast.from_pretrained(tmp_path / source).chat_template == templates
        assert HF.from_pretrained(tmp_path / source).chat_template == templates
    ours.chat_template = "x"
    ours.save_pretrained(tmp_path / "one", save_jinja_files=False)
    assert json.loads((tmp_path / "one" / "tokenizer_config.json").read_text())["chat_template"] == "x"


def test_names_of_files(both, tmp_path):
    ours, theirs = both()
    names = [
        sorted(Path(p).name for p in t.save_pretrained(tmp_path, filename_prefix="p")) for t in (ours, theirs)
    ]
    assert names[0] == names[1] and names[0][0].startswith("p-")
    for tokenizer, folder in ((ours, "ours"), (theirs, "theirs")):
        (tmp_path / folder).mkdir()
        files = tokenizer.save_vocabulary(str(tmp_path / folder), "p")
        assert [Path(file).name for file in files] == ["p-vocab.json", "p-merges.txt"]
    for name in ("p-vocab.json", "p-merges.txt"):
        contents = [(tmp_path / folder / name).read_text(encoding="utf8") for folder in ("ours", "theirs")]
        assert contents[0] == contents[1] or json.loads(contents[0]) == json.loads(contents[1])
    for option in ("legacy_format", "push_to_hub"):
        with pytest.raises(InputError, match=option):
            ours.save_pretrained(tmp_path, **{option: True})


def test_one_file(tiny_files):
    ours = BloomTokenizerFast.from_pretrained(f"{tiny_files}/tokenizer.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = HF.from_pretrained(f"{tiny_files}/tokenizer.json")
    assert ours("a b").input_ids == theirs("a b").input_ids and ours.name_or_path == theirs.name_or_path


def test_options_of_loading(tiny_files, tmp_path):
    options = dict(cache_dir=tmp_path, force_download=False, token=None, revision="main", use_fast=True)
    tokenizer = BloomTokenizerFast.from_pretrained(tiny_files, trust_remote_code=False, **options)
    assert set(tokenizer.init_kwargs).isdisjoint(options)
    assert BloomTokenizerFast.from_pretrained(str(Path(tiny_files).parent), subfolder="tiny-bloom")(
        "a"
    ).input_ids
    for option in ("from_slow", "gguf_file", "trust_remote_code"):
        with pytest.raises(InputError, match=option):
            BloomTokenizerFast.from_pretrained(tiny_files, **{option: True})
    with pytest.raises(CheckpointError, match="local cache"):
        BloomTokenizerFast.from_pretrained("nobody/nothing", local_files_only=True, cache_dir=tmp_path)


def test_another_family(tiny_files, tmp_path):
    BloomTokenizerFast.from_pretrained(tiny_files).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for name, warned in (("GPT2Tokenizer", 1), ("BloomTokenizer", 0)):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": name}))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            BloomTokenizerFast.from_pretrained(tmp_path)
        assert len([w for w in caught if w.category is BloomWarning]) == warned


def test_tokens_of_old_checkpoints(tiny_tokenizer_json, tmp_path):
    Tokenizer.from_str(tiny_tokenizer_json).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<m>": 601, "word": 600}))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"mask_token": {"content": "<m>", "lstrip": True}})
    )
    tokenizer = BloomTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.get_added_vocab()["word"] == 600 and tokenizer.mask_token_id == 601
    assert tokenizer.added_tokens_decoder[601].special and not tokenizer.added_tokens_decoder[600].special
