"""Checkpoints made to do harm or damaged: each is refused with an error, before memory is taken."""

import json
import os
import pickle
import shutil
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_bloom import (
    BloomConfig,
    BloomForCausalLM,
    BloomForTokenClassification,
    BloomModel,
    BloomTokenizerFast,
)
from spacy_bloom.errors import BloomError, CheckpointError, ConfigError


@pytest.fixture
def checkpoint(tmp_path, tiny_checkpoint):
    """A good checkpoint to be damaged."""
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def bin_checkpoint(checkpoint):
    torch.save(load_file(checkpoint / "model.safetensors"), checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()
    BloomForCausalLM.from_pretrained(checkpoint)
    return checkpoint


@pytest.fixture
def sharded_checkpoint(checkpoint):
    BloomForCausalLM.from_pretrained(checkpoint).save_pretrained(checkpoint, max_shard_size=20_000)
    return checkpoint


def refused(path, error=CheckpointError, match=None, cls=BloomForCausalLM, **options):
    with pytest.raises(error, match=match) as caught:
        cls.from_pretrained(path, **options)
    message = str(caught.value)
    assert 20 < len(message) < 50_000
    return message


class Payload:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("form", ["zip", "legacy", "raw pickle", "inside a dict", "beside weights"])
def test_pickled_code_does_not_run(bin_checkpoint, tmp_path, form):
    marker = tmp_path / "marker"
    file = bin_checkpoint / "pytorch_model.bin"
    payload = Payload(marker)
    if form == "raw pickle":
        file.write_bytes(pickle.dumps(payload))
    elif form == "zip":
        torch.save(payload, file)
    elif form == "legacy":
        torch.save(payload, file, _use_new_zipfile_serialization=False)
    elif form == "inside a dict":
        torch.save({"word_embeddings.weight": payload}, file)
    else:
        torch.save({**torch.load(file), "payload": payload}, file)
    refused(bin_checkpoint, match="weights-only")
    assert not marker.exists()
    pickle.loads(pickle.dumps(payload))  # it would have worked
    assert marker.is_dir()


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04" + bytes(100), b"\x80\x02}q\x00."], ids=repr)
def test_a_bin_that_is_none(bin_checkpoint, content):
    (bin_checkpoint / "pytorch_model.bin").write_bytes(content)
    refused(bin_checkpoint, match=r"pytorch_model.bin")


def test_a_truncated_bin(bin_checkpoint):
    file = bin_checkpoint / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(bin_checkpoint, match=r"pytorch_model.bin")


def test_a_bin_with_weights_cut_out_of_the_archive(bin_checkpoint):
    file = bin_checkpoint / "pytorch_model.bin"
    with zipfile.ZipFile(file) as source:
        records = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(file, "w") as target:
        for name, content in records.items():
            target.writestr(name, content[:4] if "/data/" in name else content)
    refused(bin_checkpoint, match=r"pytorch_model.bin")


STRANGE = {
    "text": lambda w: "weights",
    "number": lambda w: 5,
    "list": lambda w: [w],
    "sparse": lambda w: w.to_sparse(),
    "meta": lambda w: w.to("meta"),
    "repeated": lambda w: w.new_zeros(1).expand(w.shape),
    "quantized": lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("kind", sorted(STRANGE))
def test_a_bin_with_other_things_than_weights(bin_checkpoint, kind):
    state = torch.load(bin_checkpoint / "pytorch_model.bin")
    name = "transformer.word_embeddings.weight"
    torch.save({**state, name: STRANGE[kind](state[name])}, bin_checkpoint / "pytorch_model.bin")
    refused(bin_checkpoint, match=f"plain tensors only.*{name}|weights-only")


@pytest.mark.parametrize(
    "state", [[1, 2], {"nested": {"w": torch.zeros(1)}}, {5: torch.zeros(1)}, torch.zeros(3)], ids=str
)
def test_a_bin_that_is_no_state(bin_checkpoint, state):
    torch.save(state, bin_checkpoint / "pytorch_model.bin")
    refused(bin_checkpoint, match="tensors only")


def header_of(file):
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write_safetensors(file, header, data):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


NAME = "transformer.ln_f.weight"


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": [2**40]},
        {"shape": [2**62, 2**62]},
        {"shape": [-24]},
        {"shape": []},
        {"shape": "24"},
        {"dtype": "F999"},
        {"dtype": None},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [2**63, 2**63 + 96]},
        {"data_offsets": [96, 0]},
        {"data_offsets": [0, 96]},
        {"data_offsets": [-96, 0]},
        {"data_offsets": None},
    ],
    ids=str,
)
def test_a_safetensors_header_that_lies(checkpoint, lie):
    header, data = header_of(checkpoint / "model.safetensors")
    header[NAME].update(lie)
    write_safetensors(checkpoint / "model.safetensors", header, data)
    refused(checkpoint)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 3000, -1, -5000])
def test_a_truncated_safetensors(checkpoint, keep):
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(checkpoint, match="not a safetensors file")


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{}",
        struct.pack("<Q", 5) + b"nojso",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        b"\xff" * 200,
        b"<html>not found</html>",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_safetensors_that_is_none(checkpoint, content):
    (checkpoint / "model.safetensors").write_bytes(content)
    refused(checkpoint, match="not a safetensors file")


def test_an_empty_safetensors_lacks_all_weights(checkpoint):
    write_safetensors(checkpoint / "model.safetensors", {}, b"")
    assert "missing: transformer.ln_f.weight (24,)" in refused(checkpoint)


def test_a_directory_in_place_of_a_file(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors").mkdir()
    refused(checkpoint, match="No weights")


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "..\\x.safetensors",
        ".hidden.safetensors",
        "x.safetensors/",
        "x.bin",
        "x.safetensors\n",
        "x\0.safetensors",
        "",
        ".safetensors",
        "a" * 5000 + ".safetensors",
        "C:x.safetensors",
    ],
    ids=lambda name: repr(name[:20]),
)
def test_an_index_that_names_other_places(sharded_checkpoint, name):
    file = next(sharded_checkpoint.glob("model-00001*"))
    shutil.copy(file, sharded_checkpoint.parent / "x.safetensors")  # what it would read, were it to
    (sharded_checkpoint / "sub").mkdir()
    shutil.copy(file, sharded_checkpoint / "sub" / "x.safetensors")
    index = json.loads((sharded_checkpoint / "model.safetensors.index.json").read_text(encoding="utf8"))
    index["weight_map"][NAME] = name
    (sharded_checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")
    assert len(refused(sharded_checkpoint, match="names the file")) < 600


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"weight_map": null}',
        '{"weight_map": ["model.safetensors"]}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": 5, "b": "x.safetensors"}}',
        '{"weight_map": {"a": ["x.safetensors"]}}',
        '{"weight_map": {"a": null}}',
        '{"weight_map": {"a": {"b": "c"}}}',
        "[" * 100_000,
        '{"weight_map": ' * 50_000,
    ],
    ids=lambda content: content[:40],
)
def test_an_index_that_is_none(sharded_checkpoint, content):
    (sharded_checkpoint / "model.safetensors.index.json").write_text(content, encoding="utf8")
    refused(sharded_checkpoint, match="index|names the file")


def test_an_index_of_shards_that_are_not_there(sharded_checkpoint):
    next(sharded_checkpoint.glob("model-00002*")).unlink()
    refused(sharded_checkpoint, match=r"not there.*model-00002")


def test_an_index_of_no_shards(sharded_checkpoint):
    (sharded_checkpoint / "model.safetensors.index.json").write_text('{"weight_map": {}}', encoding="utf8")
    assert "missing: transformer.ln_f.weight" in refused(sharded_checkpoint)


def test_links_are_read_as_what_they_point_to(sharded_checkpoint, tmp_path):
    shard = next(sharded_checkpoint.glob("model-00001*"))
    shutil.move(shard, tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")  # as the Hub's cache has it
    BloomForCausalLM.from_pretrained(sharded_checkpoint)
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf8")
    shard.unlink()
    shard.symlink_to(secret)
    assert "the secret" not in refused(sharded_checkpoint, match="not a safetensors file")
    for target in (tmp_path / "nowhere", "/dev/zero", tmp_path, shard):
        shard.unlink()
        shard.symlink_to(target)
        refused(sharded_checkpoint, match="not there")


HUGE = {"vocab_size": 2**24, "hidden_size": 2**17, "n_layer": 2**9, "n_head": 2**10}


@pytest.mark.parametrize(
    "changes",
    [
        *({name: value} for name, value in HUGE.items() if name != "n_head"),
        {**HUGE},
        *({name: 2**60} for name in HUGE),
        *({name: -1} for name in HUGE),
        *({name: "24"} for name in HUGE),
        *({name: None} for name in HUGE),
        *({name: 24.0} for name in HUGE),
        *({name: [24]} for name in HUGE),
        {"hidden_size": float("nan")},
        {"layer_norm_epsilon": float("nan")},
        {"layer_norm_epsilon": -1},
        {"hidden_dropout": float("inf")},
        {"initializer_range": {"nested": [{"garbage": None}]}},
        {"num_labels": 2**40},
        {"id2label": {str(i): "x" for i in range(2**16 + 1)}},
        {"id2label": [[["garbage"]]]},
        {"model_type": {"bloom": "bloom"}},
        {"pad_token_id": "3"},
        {"tie_word_embeddings": "no"},
        {"extra": "x"},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_a_config_that_asks_too_much(checkpoint, changes):
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf8"))
    (checkpoint / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf8")
    refused(checkpoint, BloomError, cls=BloomForTokenClassification)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 10**5, b"\x00" * 100, b'"' + b"x" * 100]
)
def test_a_config_that_is_none(checkpoint, content):
    (checkpoint / "config.json").write_bytes(content)
    refused(checkpoint, ConfigError)


def test_a_missing_config(checkpoint):
    (checkpoint / "config.json").unlink()
    refused(checkpoint, ConfigError, match=r"No config.json")


LIMITED = """
import resource, sys, time
import torch
from spacy_bloom import BloomForTokenClassification
from spacy_bloom.errors import BloomError

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    BloomForTokenClassification.from_pretrained(sys.argv[1], num_labels=65536)
except BloomError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the limit is set from Linux's /proc")
def test_huge_sizes_take_no_memory(checkpoint, python_torch):
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf8"))
    (checkpoint / "config.json").write_text(json.dumps({**config, **HUGE}), encoding="utf8")
    result = python_torch.run("-c", LIMITED, checkpoint)
    assert result.stdout.split() == ["CheckpointError"], result.stderr


def test_a_tied_head_that_differs(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    head = weights["transformer.word_embeddings.weight"].clone()
    head[5, 5] += 1
    save_file({**weights, "lm_head.weight": head}, checkpoint / "model.safetensors")
    refused(checkpoint, match="tie_word_embeddings=False")
    BloomModel.from_pretrained(checkpoint)


def test_one_weight_under_two_names(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    save_file({**weights, "ln_f.weight": torch.zeros(24)}, checkpoint / "model.safetensors")
    refused(checkpoint, match="the same weight twice")


TOKENIZERS = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no fields": b"{}",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "no model": b'{"version": "1.0", "model": null}',
    "other version": b'{"version": "9.9", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
    "bad merges": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a z"]}}',
    "bad vocabulary": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
    "unknown model": b'{"version": "1.0", "model": {"type": "Exec", "command": "ls"}}',
}


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_a_tokenizer_that_is_none(checkpoint, kind):
    (checkpoint / "tokenizer.json").write_bytes(TOKENIZERS[kind])
    with pytest.raises(ConfigError, match=r"tokenizer.json"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def test_a_tokenizer_with_a_broken_pattern(checkpoint):
    state = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf8"))
    state["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "(((["}
    (checkpoint / "tokenizer.json").write_text(json.dumps(state), encoding="utf8")
    with pytest.raises(ConfigError, match=r"tokenizer.json"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def test_a_config_object_is_not_a_way_around(checkpoint):
    with pytest.raises(CheckpointError, match="problems"):
        BloomModel.from_pretrained(checkpoint, config=BloomConfig(**HUGE))


def pickle_records(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_records(file, records, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "made", ["builtins bytearray", "torch FloatTensor", "torch Tensor", "_codecs encode"]
)
def test_a_bin_whose_pickle_takes_memory_by_a_number(bin_checkpoint, made):
    file = bin_checkpoint / "pytorch_model.bin"
    records = pickle_records(file)
    name = next(name for name in records if name.endswith("data.pkl"))
    # torch's own unpickler calls these: a terabyte of zeros, for example.
    records[name] = (
        b"\x80\x02c" + made.replace(" ", "\n").encode() + b"\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R."
    )
    write_records(file, records)
    refused(bin_checkpoint, match=f"weights-only pickle does not hold '{made}'")


def test_a_bin_that_is_compressed(bin_checkpoint):
    file = bin_checkpoint / "pytorch_model.bin"
    records = pickle_records(file)
    write_records(file, {**records, "archive/.format_version": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 10**6
    refused(bin_checkpoint, match="is compressed, as torch.save never does it")


def test_an_int8_checkpoint_without_its_head(checkpoint):
    BloomForCausalLM.from_pretrained(checkpoint, quantization="int8").save_pretrained(checkpoint)
    change_json(checkpoint / "config.json", tie_word_embeddings=False)
    refused(checkpoint, match="a new head cannot start in integers")


def change_json(file, **changes):
    values = json.loads(file.read_text(encoding="utf8")) if file.is_file() else {}
    file.write_text(json.dumps({**values, **changes}), encoding="utf8")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tokenizer_config.json", {"model_input_names": True}),
        ("tokenizer_config.json", {"model_input_names": [5]}),
        ("tokenizer_config.json", {"model_max_length": [50]}),
        ("tokenizer_config.json", {"model_max_length": "50"}),
        ("added_tokens.json", {"<new>": {"a": 1}}),
        ("added_tokens.json", {"<new>": None}),
    ],
    ids=str,
)
def test_settings_of_a_tokenizer_of_other_types(checkpoint, name, changes):
    change_json(checkpoint / name, **changes)
    with pytest.raises(ConfigError, match="Expected"):
        BloomTokenizerFast.from_pretrained(checkpoint)


@pytest.mark.parametrize("name", ["tokenizer_object", "tokenizer_file", "tokenizer_buffer", "self"])
def test_a_file_does_not_say_where_the_tokenizer_is_from(checkpoint, name):
    expected = BloomTokenizerFast.from_pretrained(checkpoint)("A text")["input_ids"]
    change_json(checkpoint / "tokenizer_config.json", **{name: "/etc/hostname"})
    assert BloomTokenizerFast.from_pretrained(checkpoint)("A text")["input_ids"] == expected


def test_ids_of_pieces_that_are_far_apart(checkpoint):
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[next(reversed(vocabulary))] = 2**32 - 1  # to write it would take hours
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf8")
    with pytest.raises(ConfigError, match="Expected ids of .* pieces below"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def test_a_chat_template_that_is_no_text(checkpoint):
    (checkpoint / "chat_template.jinja").write_bytes(b"\xed\xa0\x80")
    with pytest.raises(ConfigError, match="chat template of .* cannot be read"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def nested(depth):
    return [] if depth == 1 else [nested(depth - 1)]


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_json_in_json_in_json(checkpoint, name):
    change_json(checkpoint / name, strange=nested(900))
    load = BloomTokenizerFast if name.startswith("tokenizer") else BloomForCausalLM
    with pytest.raises(ConfigError, match="nested at most 64 times"):
        load.from_pretrained(checkpoint)


def test_numbers_in_a_generation_config_that_are_no_floats(checkpoint):
    change_json(checkpoint / "generation_config.json", sequence_bias=[[[5], 10**400]])
    with pytest.raises(ConfigError, match="sequence_bias"):
        BloomForCausalLM.from_pretrained(checkpoint)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_beam_groups": 2}, "num_beam_groups that divides num_beams=1"),
        ({"dola_layers": [2**64]}, "below 2"),
    ],
)
def test_a_generation_config_that_asks_for_what_is_not_there(checkpoint, changes, match):
    change_json(checkpoint / "generation_config.json", **changes)
    with pytest.raises(BloomError, match=match):
        BloomForCausalLM.from_pretrained(checkpoint).generate(torch.tensor([[5, 6]]), max_new_tokens=2)


@pytest.mark.parametrize("changes", [{"sep_token": {"content": "\ud800"}}, {"mask_token": "\ud800"}], ids=str)
def test_a_token_that_is_half_a_character(checkpoint, changes):
    change_json(checkpoint / "tokenizer_config.json", **changes)
    with pytest.raises(ConfigError, match="whole Unicode characters"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def test_a_tokenizer_that_makes_the_library_panic(checkpoint, monkeypatch):
    class Panic(BaseException):
        """As those of libraries in Rust."""

    def fail(content):
        raise Panic("byte index 13 is out of bounds")

    monkeypatch.setattr(
        "spacy_bloom.tokenizer.bloom_tokenizer.Tokenizer", type("T", (), {"from_buffer": fail})
    )
    with pytest.raises(ConfigError, match="is not a tokenizer: byte index 13"):
        BloomTokenizerFast.from_pretrained(checkpoint)


def test_a_text_to_stop_at_that_is_half_a_character(checkpoint):
    change_json(checkpoint / "generation_config.json", stop_strings=["\ud800"])
    with pytest.raises(ConfigError, match="stop_strings"):
        BloomForCausalLM.from_pretrained(checkpoint)
