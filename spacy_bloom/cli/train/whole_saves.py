"""Saved pipelines that are whole at any time, whenever the process is ended."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from spacy.language import Language
from spacy.training import loop

from ...files import partial_path


@contextmanager
def saving_whole(nlp: Language) -> Iterator[None]:
    """Inside, spaCy's training loop writes model-last and model-best beside their old content, which they then replace.
    It would write into the old folders otherwise, and several ranks make an end in the middle of that likelier: the
    first one is ended as soon as another has failed.
    """
    to_disk, saves = nlp.to_disk, 0

    def save(path: str | Path, **options: Any) -> None:
        nonlocal saves
        with replacing_folder(Path(path)) as partial:
            to_disk(partial, **options)
        saves += 1

    def copy(source: str | Path, target: str | Path) -> None:
        with replacing_folder(Path(target)) as partial:
            shutil.copytree(source, partial)

    def remove(path: str | Path) -> None:
        if not saves:  # of an earlier run; later, a best model stays until the better one is whole
            shutil.rmtree(path)

    spacys: Any = loop
    spacys.shutil = SimpleNamespace(copytree=copy, rmtree=remove)
    nlp.to_disk = save  # type: ignore[method-assign]
    try:
        yield
    finally:
        spacys.shutil = shutil
        del nlp.to_disk


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A folder that takes its name when it is complete. Between two renames, an old one has the name with ".old"; if
    the process is ended there, the next one gives it its name back.

    path (Path): The folder, which may exist.
    YIELDS (Path): To be made and filled.
    """
    partial, old = partial_path(path), path.with_name(f".{path.name}.old")
    _tidy(path, partial, old)
    try:
        yield partial
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
    finally:
        _tidy(path, partial, old)


def _tidy(path: Path, partial: Path, old: Path) -> None:
    """Remove what is not whole, and what has been replaced."""
    if old.exists() and not path.exists():
        os.replace(old, path)
    for rest in (partial, old):
        shutil.rmtree(rest, ignore_errors=True)
