import json
import re
import shutil
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom import BloomConfig, BloomForTokenClassification
from spacy_bloom.checkpoint.sources import BUNDLED_PIPELINES
from spacy_bloom.cli import info
from spacy_bloom.cli.info import PUBLISHED_HEADER, describe, find_names, memory_here, published_rows

DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"
GIGABYTE = 10**9


@pytest.fixture
def run(monkeypatch):
    """A function that runs the command on a machine with 10 GB of memory and a GPU with 20."""
    monkeypatch.setattr(info, "memory_here", lambda: {"CPU": 10 * GIGABYTE, "GPU 0": 20 * GIGABYTE})
    return lambda *arguments: CliRunner().invoke(app, ["bloom", "info", *map(str, arguments)])


def cells(output):
    """The rows of the tables, by their first cell."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines() if line.strip()]
    return {row[0]: row[1:] for row in rows}


def test_help(run):
    result = run("--help")
    assert result.exit_code == 0 and "--json" in result.output and "--revision" in result.output


def test_a_published_size(run):
    result = run("bloom-7b1")
    rows = cells(result.output)
    assert result.exit_code == 0
    assert rows["Parameters"] == ["7,069,016,064"] and rows["Without embeddings"] == ["6,041,411,584"]
    assert rows["Heads"] == ["32 of 128"] and rows["Tokenizer"] == ["250,680 pieces"]
    assert rows["float32"] == ["28.3 GB", "983 MB", "19.3 GB short", "9.26 GB short"]
    assert rows["bfloat16, float16"] == ["14.1 GB", "492 MB", "4.63 GB short", "fits"]
    assert rows["int8"] == ["8.10 GB", "492 MB", "fits", "fits"]


def test_a_directory(run, tiny_checkpoint):
    rows = cells(run(tiny_checkpoint).output)
    config = BloomConfig.from_json_file(tiny_checkpoint / "config.json")
    assert rows["Blocks"] == [str(config.n_layer)] and rows["Vocabulary"] == [f"{config.vocab_size} rows"]
    assert rows["Dtype of the files"][0].startswith("float32 (")
    assert rows["Architecture"] == ["BloomForCausalLM"]
    assert "model.safetensors" in run(tiny_checkpoint).output


def test_a_pipeline(run, checkpoint, tmp_path):
    """Its checkpoint is found: the saved one, or the one that a component loads by name."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("bloom_transformer", name="shared", config={"model": {"name": checkpoint}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    config = BloomConfig.from_json_file(Path(checkpoint) / "config.json")
    rows = cells(run(tmp_path / "saved").output)
    assert rows["Blocks"] == [str(config.n_layer)] and rows["Architecture"] == ["BloomModel"]
    found = json.loads(run(tmp_path / "saved", "--json").output)
    assert found["name"] == str(tmp_path / "saved" / "shared" / "model")
    shutil.rmtree(tmp_path / "saved" / "shared")  # as with weights that are loaded by name
    assert find_names(str(tmp_path / "saved")) == [checkpoint]


def test_a_pipeline_with_two_checkpoints_or_none(run, checkpoint, tmp_path):
    nlp = spacy.blank("en")
    for name in ("one", "two"):
        nlp.add_pipe("bloom_transformer", name=name, config={"model": {"name": checkpoint}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "two")
    found = json.loads(run(tmp_path / "two", "--json").output)
    assert [Path(one["name"]).parent.name for one in found] == ["one", "two"]
    assert run(tmp_path / "two").output.count("Without embeddings") == 2
    spacy.blank("en").to_disk(tmp_path / "none")
    result = run(tmp_path / "none")
    assert result.exit_code == 1 and "got a pipeline of no components" in " ".join(result.output.split())


@pytest.mark.parametrize("name", BUNDLED_PIPELINES)
def test_bundled_pipelines(run, name):
    rows = cells(run(name).output)
    assert rows["Parameters"] == ["5,029,248"] and rows["Dtype of the files"] == ["float16 (77 weights)"]


def test_labels_and_many_files(run, tmp_path):
    labels = {i: f"B-{i}" for i in range(20)}
    config = BloomConfig(vocab_size=50, hidden_size=8, n_layer=2, n_head=2, id2label=labels)
    BloomForTokenClassification(config).save_pretrained(tmp_path, max_shard_size=1)
    output = run(tmp_path).output
    assert "B-0, B-1, B-2" in output and "B-12" not in output and "and 8 more" in output
    assert "classifier.weight (20, 8)" in output
    assert re.search(r"and 2\d more \([\d.]+ k?B\)", output)
    found = json.loads(run(tmp_path, "--json").output)
    assert found["labels"] == list(labels.values()) and len(found["files"]) == 32


def test_json(run, tiny_checkpoint):
    found = json.loads(run(tiny_checkpoint, "--json").output)
    assert found["path"] == str(tiny_checkpoint) and found["problem"] is None
    assert found["fits_here"] == {
        dtype: {"CPU": True, "GPU 0": True} for dtype in ("float32", "bfloat16", "float16", "int8")
    }
    assert found["memory_here"] == {"CPU": 10 * GIGABYTE, "GPU 0": 20 * GIGABYTE}
    large = json.loads(run("bigscience/bloom", "--json").output)
    assert large["parameters"] == 176_247_271_424 and large["path"] is None
    assert not any(place for places in large["fits_here"].values() for place in places.values())
    every = json.loads(run("--json").output)
    assert [size["name"] for size in every] == [row[0] for row in published_rows()]


def test_all_published_sizes(run):
    rows = cells(run().output)
    assert len(published_rows()) == 6
    for name, *rest in published_rows():
        assert rows[name] == rest


def test_a_directory_comes_before_a_published_size(tmp_path, tiny_checkpoint, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_checkpoint, tmp_path / "bloom-560m")
    assert describe("bloom-560m").hidden_size == 24
    assert describe("bloom-1b1").hidden_size == 1536


def test_what_is_no_checkpoint(run, tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1 and "No config.json" in " ".join(result.output.split())
    assert run("./nothing").exit_code == 1


def test_weights_that_cannot_be_loaded(run, tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"nothing")
    result = run(tmp_path / "copy")
    assert result.exit_code == 0
    assert "cannot be loaded" in result.output and "not a safetensors file" in " ".join(result.output.split())


def test_the_memory_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(info, "CGROUP", tmp_path)
    free = memory_here()["CPU"]
    assert 10**6 < free < 10**15
    for name, text in {"max": "max", "current": "3000", "stat": "anon 9\ninactive_file 500\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text, encoding="ascii")
    assert memory_here()["CPU"] > 10**6  # no limit
    (tmp_path / "memory.max").write_text("4000\n", encoding="ascii")
    assert memory_here()["CPU"] == 4000 - 3000 + 500  # pages of files are given up when memory is asked for
    (tmp_path / "memory.max").write_text("1000\n", encoding="ascii")
    assert memory_here()["CPU"] == 0


def test_the_table_in_the_docs():
    lines = [line for line in DOCS.read_text(encoding="utf8").splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert rows[0] == PUBLISHED_HEADER
    assert [set(cell) for cell in rows[1]] == [{"-"}] + [{"-", ":"}] * (len(PUBLISHED_HEADER) - 1)
    assert rows[2 : 2 + len(published_rows())] == published_rows()


def test_commands_in_the_docs_have_these_options(run):
    text = DOCS.read_text(encoding="utf8")
    for command in ("convert", "info"):
        shown = CliRunner().invoke(app, ["bloom", command, "--help"]).output
        lines = [line for line in text.splitlines() if line.startswith(f"python -m spacy bloom {command}")]
        assert lines
        for option in re.findall(r"--[a-z-]+", " ".join(lines)):
            assert option in shown


def test_python_in_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf8"), flags=re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "checkpoints.md", "exec"), {})
