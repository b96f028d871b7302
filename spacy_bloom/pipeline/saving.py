"""Saving pipelines and components so that their folders are whole at any time."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from spacy.language import Language

from ..files import replacing_folder


def save_pipeline(nlp: Language, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
    """As `nlp.to_disk`, which writes into a folder file by file: ended in the middle, that leaves parts of two
    pipelines, which may even load. This writes beside it: the folder holds the old or the new one at any time.

    nlp (Language): The pipeline.
    path (str | Path): Its folder. All that was there before is replaced.
    exclude (Iterable[str]): As for `nlp.to_disk`.
    RAISES (InputError): Another process writes to the folder.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(place) as partial:
        nlp.to_disk(partial, exclude=list(exclude))


def component_folder(path: str | Path, exclude: Iterable[str]) -> AbstractContextManager[Path]:
    """A component's folder that is whole at any time, see `replacing_folder`. It is written in place if parts are left
    out, which stay as they were, and on Windows, where a folder with mapped weights cannot be renamed.

    path (str | Path): The folder.
    exclude (Iterable[str]): Parts that are not written; a pipeline always leaves out "vocab".
    RETURNS (ContextManager[Path]): Where to write.
    """
    place = Path(path)
    if os.name != "posix" or set(exclude) - {"vocab"}:
        return nullcontext(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    return replacing_folder(place)
