"""The command puts parts together, and says what it cannot serve."""

import json
from pathlib import Path

import pytest
import typer
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli.serve as command
from spacy_bloom import bundled_path

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch):
    """A function that runs the command without a server. RETURNS: its result, and what would be served."""
    served = []
    monkeypatch.setattr(command, "make_app", lambda service, version: service)
    monkeypatch.setattr(command, "run_server", lambda service, **where: served.append((service, where)))

    def invoke(*arguments):
        return CliRunner().invoke(app, ["bloom", "serve", *map(str, arguments)]), served

    yield invoke
    for service, _ in served:
        service.close()


def test_parts_and_limits(run):
    arguments = ("xx_bloom_tiny_demo", "-a", bundled_path("xx_bloom_tiny_qa"), "-m", "tiny-bloom")
    result, ((service, where),) = run(*arguments, "--max-length", "50", "--timeout", "7")
    assert result.exit_code == 0, result.output
    assert list(service.parts) == ["annotation", "answers", "continuation", "surprisal"]
    assert service.settings.max_length == 50 and where == {"host": "127.0.0.1", "port": 8000, "grace": 7.0}


@pytest.mark.parametrize("arguments", [("nowhere",), ("xx_bloom_tiny_demo", "--timeout", "0")])
def test_what_cannot_be_served(run, arguments):
    result, served = run(*arguments)
    assert result.exit_code == 1 and not served


def test_the_container_file_starts_the_command():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf8").splitlines()
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert copied and all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf8").splitlines()
    assert ignored[0] == "*" and {f"!{name}" for name in copied} <= set(ignored)
    (entry,) = [
        json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT ")
    ]
    (default,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert entry[:5] == ["python", "-m", "spacy", "bloom", "serve"] and "USER bloom" in lines
    arguments = (
        typer.main.get_command(app)
        .commands["bloom"]
        .commands["serve"]
        .make_context("serve", entry[5:] + default)
    )
    assert arguments.params["host"] == "0.0.0.0" and arguments.params["model"] == "tiny-bloom"
