import errno
import json
import os
import shutil
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel, files
from spacy_bloom.checkpoint.files import WeightFiles
from spacy_bloom.conversion import convert
from spacy_bloom.conversion.convert import convert_checkpoint, plan_conversion
from spacy_bloom.errors import CheckpointError, ConfigError, InputError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=3, n_head=3, num_labels=5)
FIELDS = {k: v for k, v in CONFIG.to_diff_dict().items() if k not in ("model_type", "label2id")}
LAYOUTS = {
    "safetensors": {},
    "shards": dict(max_shard_size="20KB"),
    "bin": dict(safe_serialization=False),
    "bin-shards": dict(safe_serialization=False, max_shard_size="20KB"),
}
CLASSES = [
    "BloomModel",
    "BloomForCausalLM",
    "BloomForTokenClassification",
    "BloomForSequenceClassification",
    "BloomForQuestionAnswering",
]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture(scope="module")
def make_theirs(randomize):
    """A function that builds a random Hugging Face model of a class."""

    def make(cls, **changes):
        config = transformers.BloomConfig(**{**FIELDS, **changes})
        return randomize(getattr(transformers, cls)(config)).eval()

    return make


def run(source, output, *, dtype=None, num_layers=None, **options):
    return convert_checkpoint(plan_conversion(source, dtype=dtype, num_layers=num_layers), output, **options)


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def state(path):
    files = WeightFiles(path)
    return {name: files[name].clone() for name in files.weights}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("dtype, max_shard_size", [("bfloat16", "2GB"), ("float16", "15KB"), (None, 1)])
def test_hugging_face_loads_the_result(tmp_path, make_theirs, cls, layout, dtype, max_shard_size):
    theirs = make_theirs(cls)
    theirs.save_pretrained(tmp_path / "source", **LAYOUTS[layout])
    files = run(tmp_path / "source", tmp_path / "new", dtype=DTYPES.get(dtype), max_shard_size=max_shard_size)
    expected = DTYPES[dtype or "float32"]
    back, report = getattr(transformers, cls).from_pretrained(
        tmp_path / "new", torch_dtype="auto", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert back.dtype == expected
    weights = dict(back.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(weights[name], value.to(expected)), name
    assert {file.name for file in files} == {file.name for file in (tmp_path / "new").iterdir()}
    assert not any(file.suffix == ".bin" for file in files)
    assert (tmp_path / "new" / "model.safetensors").exists() == (max_shard_size == "2GB")


def test_the_config_is_kept(tmp_path, make_theirs):
    make_theirs("BloomForTokenClassification").save_pretrained(tmp_path / "source")
    before = json.loads((tmp_path / "source" / "config.json").read_text(encoding="utf8"))
    # As older checkpoints spell it, and with a field that nobody knows.
    before.update(n_embed=before.pop("hidden_size"), offset_alibi=100, mine={"a": [1]})
    before["id2label"] = {str(i): f"tag {i}" for i in range(5)}
    before["label2id"] = {f"tag {i}": i for i in range(5)}
    (tmp_path / "source" / "config.json").write_text(json.dumps(before), encoding="utf8")
    run(tmp_path / "source", tmp_path / "new", dtype=torch.bfloat16)
    after = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf8"))
    assert after.pop("hidden_size") == before.pop("n_embed")
    assert (before.pop("torch_dtype"), after.pop("torch_dtype")) == ("float32", "bfloat16")
    assert {key: after[key] for key in before} == before
    assert after["architectures"] == ["BloomForTokenClassification"]


@pytest.mark.parametrize("cls", CLASSES)
def test_an_architecture_that_the_config_does_not_name(tmp_path, make_theirs, cls):
    make_theirs(cls, tie_word_embeddings=False).save_pretrained(tmp_path / "source")
    path = tmp_path / "source" / "config.json"
    config = json.loads(path.read_text(encoding="utf8"))
    for value in ([], None, "BloomModel"):
        path.write_text(json.dumps({**config, "architectures": value}), encoding="utf8")
        assert plan_conversion(tmp_path / "source").config.extra["architectures"] == [cls]


def test_what_stands_beside_the_weights_is_not_lost(tmp_path, tiny_checkpoint):
    for number, name in enumerate(("adapter/adapter_config.json", "layer_mix.safetensors")):
        source, output = tmp_path / f"source{number}", tmp_path / f"new{number}"
        shutil.copytree(tiny_checkpoint, source)
        run(source, output)
        for path in (source, output):
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(b"{}")
        with pytest.raises(InputError, match=r"(adapter|layer_mix.safetensors) beside it: save the pipeline"):
            run(source, tmp_path / "third")
        before = (output / "model.safetensors").read_bytes()
        with pytest.raises(InputError, match="choose another directory"):
            run(tiny_checkpoint, output, force=True, dtype=torch.float16)
        assert (output / "model.safetensors").read_bytes() == before and not (tmp_path / "third").exists()


def test_the_other_files_are_copied(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "source")
    (tmp_path / "source" / "generation_config.json").write_text('{"max_new_tokens": 7}', encoding="utf8")
    (tmp_path / "source" / "evil.py").write_text("raise SystemExit", encoding="utf8")
    run(tmp_path / "source", tmp_path / "new", dtype=torch.float16)
    before, after = contents(tmp_path / "source"), contents(tmp_path / "new")
    assert set(after) == set(before) - {"evil.py"}
    for name in set(after) - {"config.json", "model.safetensors"}:
        assert after[name] == before[name]
    assert BloomForCausalLM.from_pretrained(tmp_path / "new", dtype="auto").dtype == torch.float16


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_first_blocks(tmp_path, make_theirs, num_layers):
    make_theirs("BloomForCausalLM").save_pretrained(tmp_path / "source")
    run(tmp_path / "source", tmp_path / "new", num_layers=num_layers)
    whole = BloomForCausalLM.from_pretrained(tmp_path / "source", num_layers=num_layers)
    part = BloomForCausalLM.from_pretrained(tmp_path / "new")
    assert part.config.n_layer == num_layers
    assert all(torch.equal(value, part.state_dict()[name]) for name, value in whole.state_dict().items())
    with pytest.raises(InputError, match="from 1 to 3"):
        run(tmp_path / "source", tmp_path / "other", num_layers=4)
    assert not (tmp_path / "other").exists()


def test_names_stay_as_they_are_in_the_order_of_use(tmp_path, randomize):
    model = randomize(BloomForTokenClassification(CONFIG))
    model.save_pretrained(tmp_path / "source")
    plan = plan_conversion(tmp_path / "source")
    assert list(plan.sizes) == [*list(model.state_dict())[:-2], "classifier.bias", "classifier.weight"]
    bare = {name.removeprefix("transformer."): value for name, value in model.state_dict().items()}
    save_file(bare, tmp_path / "source" / "model.safetensors")
    plan_names = list(plan_conversion(tmp_path / "source").sizes)
    assert plan_names == [name.removeprefix("transformer.") for name in plan.sizes]


def test_a_tied_head_is_stored_once(tmp_path, make_theirs):
    theirs = make_theirs("BloomForCausalLM")
    theirs.save_pretrained(tmp_path / "source", safe_serialization=False)
    assert "lm_head.weight" in torch.load(tmp_path / "source" / "pytorch_model.bin")
    run(tmp_path / "source", tmp_path / "new")
    assert "lm_head.weight" not in load_file(tmp_path / "new" / "model.safetensors")
    untied = make_theirs("BloomForCausalLM", tie_word_embeddings=False)
    untied.save_pretrained(tmp_path / "untied")
    run(tmp_path / "untied", tmp_path / "untied-new")
    weights = load_file(tmp_path / "untied-new" / "model.safetensors")
    assert torch.equal(weights["lm_head.weight"], untied.lm_head.weight)
    (tmp_path / "untied" / "config.json").write_text(CONFIG.to_json_string(), encoding="utf8")
    with pytest.raises(CheckpointError, match=r"tie_word_embeddings=False, or set it in config.json"):
        plan_conversion(tmp_path / "untied")


def test_sizes_before_and_after(tmp_path, make_theirs):
    make_theirs("BloomForTokenClassification").save_pretrained(tmp_path / "source")
    plan = plan_conversion(tmp_path / "source", dtype=torch.float16)
    parameters = sum(value.numel() for value in load_file(tmp_path / "source" / "model.safetensors").values())
    assert (plan.n_bytes, plan.new_n_bytes) == (4 * parameters, 2 * parameters)
    done = []
    convert_checkpoint(plan, tmp_path / "new", progress=done.append)
    assert sum(done) == plan.new_n_bytes and len(done) == len(plan.sizes)


def test_conversion_is_the_same_every_time(tmp_path, tiny_checkpoint):
    for folder in ("one", "other"):
        run(tiny_checkpoint, tmp_path / folder, dtype=torch.bfloat16, max_shard_size="10KB")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize(
    "changes, error, match",
    [
        ({"ln_f.weight": None}, CheckpointError, r"1 problems.*\n.*missing: ln_f.weight \(24,\)"),
        ({"h.3.input_layernorm.weight": torch.zeros(24)}, CheckpointError, "unexpected: h.3.input"),
        ({"ln_f.weight": torch.zeros(25)}, CheckpointError, "misshapen: ln_f.weight"),
        ({"ln_f.weight": torch.zeros(24, dtype=torch.int64)}, CheckpointError, "got I64 for ln_f.weight"),
        ({"ln_f.weight": torch.zeros(24, dtype=torch.float16)}, CheckpointError, "several dtypes"),
        ({"score.weight": torch.zeros(2, dtype=torch.uint8)}, CheckpointError, "got U8 for score.weight"),
    ],
)
def test_damaged_checkpoints(tmp_path, randomize, changes, error, match):
    model = randomize(BloomModel(CONFIG))
    model.save_pretrained(tmp_path / "source")
    weights = {name: value for name, value in {**model.state_dict(), **changes}.items() if value is not None}
    save_file(weights, tmp_path / "source" / "model.safetensors")
    with pytest.raises(error, match=match):
        run(tmp_path / "source", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_several_dtypes_become_one(tmp_path, randomize):
    state_dict = randomize(BloomModel(CONFIG)).state_dict()
    BloomModel(CONFIG).save_pretrained(tmp_path / "source")
    save_file(
        {**state_dict, "ln_f.bias": state_dict["ln_f.bias"].double()},
        tmp_path / "source" / "model.safetensors",
    )
    run(tmp_path / "source", tmp_path / "new", dtype=torch.float32)
    assert all(torch.equal(value, state_dict[name]) for name, value in state(tmp_path / "new").items())


def test_numbers_too_large(tmp_path, randomize):
    model = randomize(BloomModel(CONFIG))
    with torch.no_grad():
        model.ln_f.bias[3] = -70_000.0
    model.save_pretrained(tmp_path / "source")
    with pytest.raises(CheckpointError, match=r"ln_f.bias holds 7e\+04, too large for float16"):
        run(tmp_path / "source", tmp_path / "new", dtype=torch.float16)
    assert not (tmp_path / "new").exists()
    run(tmp_path / "source", tmp_path / "new", dtype=torch.bfloat16)
    with torch.no_grad():
        model.ln_f.bias[3] = float("inf")  # which every dtype can hold
    model.save_pretrained(tmp_path / "source")
    run(tmp_path / "source", tmp_path / "new", dtype=torch.float16, force=True)
    assert torch.isinf(state(tmp_path / "new")["ln_f.bias"]).sum() == 1


@pytest.mark.parametrize("source", ["missing", "empty", "no weights", "no config"])
def test_what_is_no_checkpoint(tmp_path, tiny_checkpoint, source):
    shutil.copytree(tiny_checkpoint, tmp_path / "source")
    removed = {"empty": "*", "no weights": "*.safetensors", "no config": "config.json", "missing": "*"}[
        source
    ]
    for file in (tmp_path / "source").glob(removed):
        file.unlink()
    path = tmp_path / ("nothing" if source == "missing" else "source")
    with pytest.raises((CheckpointError, ConfigError), match=r"No (weights|config.json) in"):
        run(path, tmp_path / "new")


# What is in the output already


@pytest.fixture
def two(tmp_path, randomize, tiny_checkpoint):
    """Two checkpoints that differ in weights, config and files: the source, and what is in the output."""
    shutil.copytree(tiny_checkpoint, tmp_path / "source")
    other = randomize(BloomForCausalLM(CONFIG.replace(vocab_size=50)), seed=1)
    return tmp_path / "source", tmp_path / "output", other


def test_an_output_that_is_not_empty(two):
    source, output, _ = two
    output.mkdir()
    (output / "notes.txt").write_text("mine", encoding="utf8")
    with pytest.raises(InputError, match=r"output is not empty.*--force"):
        run(source, output)
    assert [file.name for file in output.iterdir()] == ["notes.txt"]
    run(source, output, force=True)
    assert (output / "notes.txt").read_text(encoding="utf8") == "mine"
    with pytest.raises(InputError, match=r"notes.txt to be a directory"):
        run(source, output / "notes.txt", force=True)


@pytest.mark.parametrize("before", ["single", "shards", "bin", "killed"])
@pytest.mark.parametrize("after", [10**9, 10_000])
def test_an_old_checkpoint_is_replaced(two, before, after):
    source, output, other = two
    if before == "killed":
        output.mkdir()
        (output / ".model-00001-of-00009.safetensors.partial").write_bytes(b"half")
    else:
        other.save_pretrained(output, max_shard_size=10_000 if before == "shards" else 10**9)
        (output / "generation_config.json").write_text("{}", encoding="utf8")
    if before == "bin":
        (output / "model.safetensors").rename(output / "pytorch_model.bin")
    run(source, output, force=before != "killed", max_shard_size=after)
    run(source, output.parent / "fresh", max_shard_size=after)
    assert contents(output) == contents(output.parent / "fresh")


@pytest.mark.parametrize("layout", ["safetensors", "shards", "bin"])
def test_a_checkpoint_over_itself(tmp_path, make_theirs, layout):
    theirs = make_theirs("BloomForCausalLM")
    theirs.save_pretrained(tmp_path, **LAYOUTS[layout])
    run(tmp_path, tmp_path, dtype=torch.bfloat16, max_shard_size="20KB", force=True)
    back = BloomForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert torch.equal(back.lm_head.weight, theirs.lm_head.weight.to(torch.bfloat16))
    assert not list(tmp_path.glob("*.bin*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from spacy_bloom.checkpoint import writing
from spacy_bloom.conversion.convert import convert_checkpoint, plan_conversion

calls, save_file = [], writing.save_file

def kill(tensors, path, metadata):
    calls.append(path)
    if len(calls) == 2:
        path.write_bytes(b"half a fi")
        os.kill(os.getpid(), signal.SIGKILL)
    save_file(tensors, path, metadata=metadata)

writing.save_file = kill
source, output = map(Path, sys.argv[1:])
convert_checkpoint(plan_conversion(source), output, max_shard_size=10_000, force=True)
"""


def test_a_process_that_is_killed_leaves_the_old_checkpoint(two, python_torch):
    source, output, other = two
    other.save_pretrained(output, max_shard_size=10_000)
    before = contents(output)
    assert python_torch.run("-c", KILLED, source, output).returncode == -9
    assert contents(output) == before
    left = output.with_name(f".{output.name}.partial")  # the half of a new one
    assert left.is_dir()
    weight = BloomForCausalLM.from_pretrained(output).lm_head.weight
    assert torch.equal(weight, other.lm_head.weight)
    run(source, output, force=True)
    assert not left.exists() and not [name for name in contents(output) if name.endswith(".partial")]


def inode(path):
    return path.stat().st_ino


def check_converted(source, output):
    weight = BloomForCausalLM.from_pretrained(output).lm_head.weight
    assert torch.equal(weight, BloomForCausalLM.from_pretrained(source).lm_head.weight)
    assert not [file.name for file in output.resolve().parent.iterdir() if file.name.startswith(".")]


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems cannot exchange two folders.")
def test_a_folder_that_holds_a_checkpoint_is_exchanged(two, tmp_path):
    source, output, other = two
    other.save_pretrained(output)
    output.chmod(0o750)
    before = inode(output)
    link = tmp_path / "by_another_name"
    link.symlink_to(output, target_is_directory=True)
    run(source, link, force=True)
    assert link.is_symlink() and inode(output) != before and output.stat().st_mode & 0o777 == 0o750
    check_converted(source, output)


def with_other_files(output, monkeypatch):
    (output / "notes.txt").write_text("mine", encoding="utf8")


def with_a_folder(output, monkeypatch):
    (output / "onnx").mkdir()
    (output / "onnx" / "model.onnx").write_bytes(b"theirs")


def with_a_link(output, monkeypatch):
    (output.parent / "weights").write_bytes((output / "model.safetensors").read_bytes())
    (output / "model.safetensors").unlink()
    (output / "model.safetensors").symlink_to(output.parent / "weights")


def where_we_work(output, monkeypatch):
    monkeypatch.chdir(output)


def that_is_mounted(output, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: True)


def that_is_somebody_elses(output, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: -1)


def without_exchange(output, monkeypatch):
    monkeypatch.setattr("spacy_bloom.files._exchange", lambda one, other: False)


def of_a_lower_layer(output, monkeypatch):
    """As an overlay answers at last: two new folders could be exchanged."""

    def refuse(one, other):
        if other.name == output.name:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return exchange(one, other)

    exchange = files._exchange
    monkeypatch.setattr(files, "_exchange", refuse)


@pytest.mark.skipif(os.name != "posix", reason="Folders are always written in place.")
@pytest.mark.parametrize(
    "kind",
    [
        with_other_files,
        with_a_folder,
        with_a_link,
        where_we_work,
        that_is_mounted,
        that_is_somebody_elses,
        without_exchange,
        of_a_lower_layer,
    ],
)
def test_other_folders_stay_and_so_does_what_else_is_in_them(two, monkeypatch, kind):
    source, output, other = two
    other.save_pretrained(output)
    kind(output, monkeypatch)
    before, others = inode(output), {name for name in os.listdir(output) if name in ("notes.txt", "onnx")}
    run(source, output, force=True)
    assert inode(output) == before and others <= set(os.listdir(output))
    check_converted(source, output)


def test_what_is_put_into_the_folder_meanwhile_stays(two):
    source, output, other = two
    other.save_pretrained(output)
    plan = plan_conversion(source)
    convert_checkpoint(plan, output, force=True, progress=lambda n: (output / "new.txt").write_text("new"))
    assert (output / "new.txt").read_text() == "new"
    check_converted(source, output)


def test_a_full_disk(two, monkeypatch):
    source, output, other = two
    other.save_pretrained(output)
    before = contents(output)

    def fail(tensors, path, metadata):
        raise OSError("No space left on device")

    monkeypatch.setattr("spacy_bloom.checkpoint.writing.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        run(source, output, force=True)
    assert contents(output) == before
    monkeypatch.setattr(
        convert.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 1, 1)
    )
    with pytest.raises(InputError, match=r"converted weights take .* kB, but .* has 1 B left"):
        run(source, output / "new")
    assert contents(output) == before


def fail_to_replace(monkeypatch, number):
    """The rename of that number fails, as if the process had ended there. RETURNS (list): The renames."""
    calls, replace = [], os.replace

    def fail(partial, final):
        calls.append(final)
        if len(calls) == number:
            raise KeyboardInterrupt
        return replace(partial, final)

    monkeypatch.setattr(os, "replace", fail)
    return calls


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems cannot exchange two folders.")
@pytest.mark.parametrize("after", [10**9, 10_000])
@pytest.mark.parametrize("fails_at", range(1, 15))
def test_a_failure_among_the_renames_leaves_the_old_checkpoint(two, monkeypatch, after, fails_at):
    source, output, other = two
    other.save_pretrained(output, max_shard_size=10_000)
    before = contents(output)
    calls = fail_to_replace(monkeypatch, fails_at)
    try:
        run(source, output, max_shard_size=after, force=True)
    except KeyboardInterrupt:
        assert contents(output) == before
        return
    assert fails_at > len(calls)


@pytest.mark.parametrize("before", [10**9, 10_000])
@pytest.mark.parametrize("after", [10**9, 10_000])
@pytest.mark.parametrize("fails_at", range(1, 15))
def test_a_failure_among_the_renames_never_mixes(two, monkeypatch, before, after, fails_at):
    """Where a folder cannot be replaced as a whole."""
    source, output, other = two
    other.save_pretrained(output, max_shard_size=before)
    (output / "notes.txt").write_text("mine", encoding="utf8")
    calls = fail_to_replace(monkeypatch, fails_at)
    try:
        run(source, output, max_shard_size=after, force=True)
    except KeyboardInterrupt:
        with pytest.raises(ConfigError, match=r"No config.json"):
            BloomForCausalLM.from_pretrained(output)
        return
    assert fails_at > len(calls)
    assert torch.equal(
        BloomForCausalLM.from_pretrained(output).lm_head.weight,
        BloomForCausalLM.from_pretrained(source).lm_head.weight,
    )


PEAK = """
import sys
from pathlib import Path
import torch
from spacy_bloom.conversion.convert import convert_checkpoint, plan_conversion

def peak():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

source, output = map(Path, sys.argv[1:])
plan = plan_conversion(source, dtype=torch.bfloat16)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
convert_checkpoint(plan, output, max_shard_size="7MB")
print(peak() - before)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="the peak of the memory is read from Linux's /proc",
)
@pytest.mark.parametrize("layout", ["safetensors", "bin"])
def test_memory_is_about_one_shard(tmp_path, layout, python_torch):
    model = BloomModel(BloomConfig(vocab_size=1000, hidden_size=512, n_layer=8, n_head=8))
    model.save_pretrained(tmp_path / "source")
    if layout == "bin":
        torch.save(model.state_dict(), tmp_path / "source" / "pytorch_model.bin")
        (tmp_path / "source" / "model.safetensors").unlink()
    result = python_torch.run("-c", PEAK, tmp_path / "source", tmp_path / "new")
    assert result.returncode == 0, result.stderr
    # 103 MB are read and 51 MB written, of which 14 MB and 7 MB at a time.
    assert int(result.stdout) < 35e6
    assert len(list((tmp_path / "new").glob("model-*.safetensors"))) >= 8
