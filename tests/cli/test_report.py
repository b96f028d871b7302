"""The command draws what a training left, and says what it lacks."""

import json

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)


@pytest.fixture
def run(tmp_path):
    """A function that runs the command. RETURNS: its result, and the page or None."""

    def invoke(*arguments):
        output = tmp_path / "new" / "report.html"
        result = CliRunner().invoke(app, ["bloom", "report", *map(str, arguments), "-o", str(output)])
        return result, output.read_text(encoding="utf8") if output.exists() else None

    return invoke


@pytest.fixture
def training(tmp_path):
    """A folder as spacy train leaves it."""
    folder = tmp_path / "<training>"
    (folder / "model-best").mkdir(parents=True)
    performance = {
        "ents_f": 0.625,
        "ents_per_type": {"PER": {"p": 0.5, "r": 0.5, "f": 0.5}},
        "ner_loss": 12.5,
    }
    (folder / "model-best" / "meta.json").write_text(json.dumps({"performance": performance}))
    return folder


def test_a_pipeline(run, training, tmp_path):
    rows = [
        {"step": n, "losses": {"ner": 9.0 - n}, "scores": {"ents_f": 10.0 * n}, "score": n / 10}
        for n in range(5)
    ]
    (training / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = {
        "ents": {
            "groups": {"ar": {"docs": 3, "f_score": 0.5}, "en": {"docs": 4, "f_score": 0.75}},
            "micro": {"f_score": 0.7},
            "macro": {"f_score": 0.625},
        }
    }
    (tmp_path / "scores.json").write_text(json.dumps({"scores": scores}))
    result, page = run(training, "--scores", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    assert "Training: &lt;training&gt;" in page and "5 evaluations in 4 steps." in page
    assert page.count("<svg") == 2 and page.count("<polyline") == 3
    assert "Entities by language" in page and '<i style="width: 75.00%">' in page and "(mean)" in page
    assert (
        "<td>ents f</td><td>62.5</td>" in page and "PER (f)</td><td>50.0</td>" in page and "12.5" not in page
    )
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_language_model(run, tmp_path):
    rows = [
        {
            "step": n,
            "n_pieces": 64 * n,
            "loss": 4.0,
            "bpb": 8.0 - n,
            "bpb_by_file": {f"f{i}": 8.0 - n for i in range(10)},
        }
        for n in range(3)
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, page = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "3 evaluations in 128 pieces." in page and page.count("<svg") == 4  # ten files are two charts
    assert "By language" in page and page.count('<i style="width: 100.00%">') == 10


def test_a_training_without_curves(run, training):
    result, page = run(training)
    assert result.exit_code == 0 and "output_file" in page and "<svg" not in page and "62.5" in page


def test_another_folder(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result, page = run(tmp_path / "empty")
    assert result.exit_code == 1 and page is None
