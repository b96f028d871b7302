"""The way of a new user, from annotated files to an installed pipeline, by the commands that docs/tools.md begins with.

They run in this process. With the path of another interpreter in SPACY_BLOOM_PYTHON, one where the wheel is installed,
they run there, and the trained pipeline is built and installed as well:

    SPACY_BLOOM_PYTHON=/path/of/env/bin/python python -m pytest tests/test_new_user.py
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)

DOCS = (Path(__file__).parent.parent / "docs" / "tools.md").read_text(encoding="utf8")
PYTHON = os.environ.get("SPACY_BLOOM_PYTHON")
# Of what is trained: a few steps of a few words.
FEW_STEPS = {
    "training.max_steps": 4,
    "training.optimizer.learn_rate.total_steps": 4,
    "training.optimizer.learn_rate.warmup_steps": 1,
    "training.eval_frequency": 4,
    "training.batcher.size": 60,
}
SIZES = {"train": 110, "dev": 10, "test": 10}  # spaCy's debug data refuses fewer than 100
NAMES, PLACES = ("Ana", "Wei", "Omar", "Lucia"), ("Lima", "Cairo", "Porto")


def sentences(split):
    """YIELDS: words and tags, no sentence of one split in another."""
    for i in range(SIZES[split]):
        words = [
            NAMES[i % 4],
            "sings" if i % 2 else "runs",
            "in",
            PLACES[i % 3],
            f"on {split} day",
            f"{i}",
            ".",
        ]
        yield words, ["B-PER", "O", "O", "B-LOC", "O", "O", "O"]


def write_conll(folder):
    for split in SIZES:
        rows = [
            "".join(f"{w}\t{t}\n" for w, t in zip(*pair, strict=True)) + "\n" for pair in sentences(split)
        ]
        (folder / f"en.{split}.conll").write_text("".join(rows), encoding="utf8")


def write_jsonl(folder):
    for split in SIZES:
        records = [
            {
                "text": " ".join(words),
                "label": "music" if "sings" in words else "sport",
                "meta": {"year": 1990},
            }
            for words, _ in sentences(split)
        ]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"en.{split}.jsonl").write_text(lines, encoding="utf8")


def commands(pipes):
    """RETURNS: the commands of the first block, word by word, for other pipes and a few steps."""
    block = re.findall(r"(?ms)^```bash\n(.*?)^```", DOCS)[0]
    assert "-p ner" in block and "--build wheel" in block
    for line in block.replace("-p ner", f"-p {pipes}").splitlines():
        words = shlex.split(line)
        if words[3:4] == ["train"]:
            words += [str(word) for name, value in FEW_STEPS.items() for word in (f"--{name}", value)]
        yield words


def run(words):
    """Run a command here, or with the other interpreter."""
    if words[0] == "mkdir":
        return Path(words[1]).mkdir()
    assert words[:3] == ["python", "-m", "spacy"]
    if PYTHON:
        return subprocess.run([PYTHON, *words[1:]], check=True)
    # Building a wheel asks a package index for the tools.
    arguments = ["none" if word == "wheel" else word for word in words[3:]]
    result = CliRunner().invoke(app, arguments, env={"SPACY_CONFIG_OVERRIDES": None})
    assert result.exit_code == 0, f"{words}: {result.output} {result.exception!r}"
    return result


@pytest.mark.parametrize(
    ("pipes", "write", "written"),
    [("ner", write_conll, "ents"), ("textcat", write_jsonl, "cats")],
    ids=["conll", "jsonl"],
)
def test_from_annotated_files_to_an_installed_pipeline(pipes, write, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if PYTHON:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "build"], check=True)
    Path("data").mkdir()
    write(Path("data"))
    for words in commands(pipes):
        run(words)
    page = Path("scores.html").read_text(encoding="utf8")
    assert "Evaluation of training/model-best" in page and "10 Docs of corpus, by lang" in page
    check = f"import spacy; doc = spacy.load('xx_my_pipeline')('Ana sings in Lima'); print(doc.{written})"
    if PYTHON:
        [wheel] = Path("packages").rglob("*.whl")
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
        subprocess.run([PYTHON, "-c", check], check=True)
    else:
        [package] = Path("packages").glob("xx_my_pipeline-*")
        doc = spacy.load(package / "xx_my_pipeline" / package.name)("Ana sings in Lima")
        assert set(doc.cats) == ({"music", "sport"} if written == "cats" else set())
