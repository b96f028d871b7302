import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("learning_curve", ROOT / "scripts" / "learning_curve.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def write(path, evaluations):
    path.parent.mkdir()
    rows = [
        {"n_pieces": n, "bpb": bits, "bpb_by_file": {"en": bits, "zh": bits + 1}} for n, bits in evaluations
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def test_runs_follow_each_other(tmp_path, monkeypatch):
    first = write(tmp_path / "first" / "history.jsonl", [(0, 4.0), (1_000_000, 3.0)])
    second = write(tmp_path / "second" / "history.jsonl", [(0, 3.0), (2_000_000, 2.125)])
    for output in ("one.svg", "two.svg", "three.png"):
        arguments = [str(first), str(second), "--output", str(tmp_path / output)]
        monkeypatch.setattr(sys, "argv", ["learning_curve.py", *arguments])
        script.main()
    assert script.pieces_of([script.read_history(p) for p in (first, second)]) == [[0.0, 1.0], [1.0, 3.0]]
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "two.svg").read_text()
    # matplotlib draws letters as shapes and says in comments what they are
    for text in ("first", "second", "2.125", "million pieces learned from"):
        assert f"<!-- {text} -->" in picture
    assert (tmp_path / "three.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"step": 1}'])
def test_what_is_no_history(tmp_path, monkeypatch, capsys, text):
    path = tmp_path / "history.jsonl"
    path.write_text(text, encoding="utf8")
    monkeypatch.setattr(sys, "argv", ["learning_curve.py", str(path), "--output", str(tmp_path / "x.svg")])
    with pytest.raises(SystemExit):
        script.main()
    assert "as written by train-lm" in capsys.readouterr().err and not (tmp_path / "x.svg").exists()
