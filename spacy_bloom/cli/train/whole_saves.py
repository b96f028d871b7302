"""Saved pipelines that are whole at any time, whenever the process is ended."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from spacy.language import Language
from spacy.training import loop

from ...files import remove_folder, replacing_folder


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
            shutil.copytree(source, partial, dirs_exist_ok=True)

    def remove(path: str | Path) -> None:
        if not saves:  # of an earlier run; later, a best model stays until the better one is whole
            remove_folder(Path(path))

    spacys: Any = loop
    spacys.shutil = SimpleNamespace(copytree=copy, rmtree=remove)
    nlp.to_disk = save  # type: ignore[method-assign]
    try:
        yield
    finally:
        spacys.shutil = shutil
        del nlp.to_disk
