import json

import notebooks
import pytest


def kept(name):
    return (notebooks.DOCS / "notebooks" / f"{name}.ipynb").read_text(encoding="utf8")


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_notebooks_are_made_of_their_guides(name):
    guide = (notebooks.DOCS / "guides" / f"{name}.md").read_text(encoding="utf8")
    assert kept(name) == notebooks.notebook(guide), "run scripts/notebooks.py"
    prose = "".join("".join(cell["source"]) for cell in json.loads(kept(name))["cells"])
    assert ".ipynb" not in prose, "a notebook does not name itself"


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_notebooks_run(name, capsys, tmp_path, monkeypatch):
    """Cell by cell, each in what the ones before have left."""
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(kept(name))["cells"] if cell["cell_type"] == "code"]
    install, *sources = ["".join(cell["source"]) for cell in cells]
    assert install.startswith("%pip")
    variables = {}
    for source in sources:
        exec(compile(source, name, "exec"), variables)
        assert capsys.readouterr().out.strip() or "print" not in source, "the cell shows nothing"


def test_links_and_blocks_find_their_places():
    guide = "# A\n\nAlso as [a notebook](../notebooks/a.ipynb).\n\nSee [b](b.md#c), [d](../d.md).\n\n"
    guide += "```python\nx = 1\n```\n\nEnd."
    assert list(notebooks.cells(guide)) == [
        ("markdown", "# A\n\nSee [b](../guides/b.md#c), [d](../d.md)."),
        ("code", "x = 1"),
        ("markdown", "End."),
    ]
