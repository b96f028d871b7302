"""The runner of the soak: budgets, exit status, rows."""

import json
from types import SimpleNamespace

import pytest

from scripts.soak import __main__ as runner
from scripts.soak.figures import Budget, Figure


@pytest.fixture
def parts(monkeypatch):
    """Two parts in place of the real ones: one that holds, one that does not."""

    def holds(budget):
        yield Figure("good", budget.inputs, notes={"seed": budget.seed})

    def breaks(budget):
        (budget.kept / "input").write_text("x", "utf8")
        yield Figure("bad", 3, ["input: KeyError"])

    made = {"holds": SimpleNamespace(soak=holds), "breaks": SimpleNamespace(soak=breaks)}
    monkeypatch.setattr(runner, "parts", lambda: made)


def test_what_is_found_decides_the_exit_status(parts, tmp_path, capsys):
    options = ["--kept", str(tmp_path), "--inputs", "12", "--seed", "5", "--json", str(tmp_path / "out.json")]
    assert runner.main(["--only", "holds", *options]) == 0
    assert "| holds | good | 12 | 0 | 0 s | seed 5 |" in capsys.readouterr().out
    assert runner.main(options) == 1
    printed = capsys.readouterr()
    assert "| breaks | bad | 3 | 1 |" in printed.out and "FOUND input: KeyError" in printed.err
    assert (tmp_path / "breaks" / "input").read_text("utf8") == "x"
    figures = json.loads((tmp_path / "out.json").read_text("utf8"))["figures"]
    assert [figure["part"] for figure in figures] == ["holds", "breaks"]


def test_an_unknown_part_is_refused(parts, capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(["--only", "nothing"])
    assert ended.value.code == 2 and "there are holds, breaks" in capsys.readouterr().err


def test_a_part_of_a_budget(tmp_path):
    budget = Budget(100.0, 50, 1, tmp_path)
    part = budget.part(10.9, 1e9)
    assert part.inputs == 10 and 99 < part.seconds <= 100
    assert budget.random("a").random() == part.random("a").random() != budget.random("b").random()
