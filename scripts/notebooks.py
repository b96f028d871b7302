"""Make the notebooks of docs/notebooks from guides of the same name, so that their texts are written once.

    python scripts/notebooks.py

Prose becomes cells of Markdown, blocks of Python cells of code, without outputs. The notebooks are kept beside the
guides, and the tests run them and compare them with what this makes.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
NAMES = ("text_classification", "token_classification")
BLOCK = re.compile(r"^```python\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
PAGE = re.compile(r"\]\((?!https?:)([^)/]+\.(?:md|ipynb)[^)]*)\)")  # beside the guide
ITSELF = re.compile(r"^.*\]\(\.\./notebooks/.*\n\n?", flags=re.MULTILINE)
INSTALL = '%pip install --quiet "spacy-bloom[accelerate]"'


def cells(guide: str) -> Iterator[tuple[str, str]]:
    """YIELDS (tuple[str, str]): "markdown" or "code", and a cell's text, in the order of the guide."""
    guide = PAGE.sub(r"](../guides/\1)", ITSELF.sub("", guide))
    for i, text in enumerate(BLOCK.split(guide)):
        if text.strip():
            yield "code" if i % 2 else "markdown", text.strip()


def notebook(guide: str) -> str:
    """RETURNS (str): A notebook in Jupyter's format 4.5, as JSON; equal guides give equal notebooks."""
    (_, title), *rest = cells(guide)
    made = [("markdown", title), ("code", INSTALL), *rest]
    content = {
        "cells": [_cell(i, kind, text) for i, (kind, text) in enumerate(made)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def main() -> None:
    (DOCS / "notebooks").mkdir(exist_ok=True)
    for name in NAMES:
        guide = (DOCS / "guides" / f"{name}.md").read_text(encoding="utf8")
        (DOCS / "notebooks" / f"{name}.ipynb").write_text(notebook(guide), encoding="utf8", newline="\n")


if __name__ == "__main__":
    main()
