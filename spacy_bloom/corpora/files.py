"""Files of annotated data, by the data set and the split that their names say."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Collection, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..errors import InputError
from .samples import SPLITS

# ar.train.conll, train.jsonl, reviews.dev.jsonl, and the treebanks' en_ewt-ud-train.conllu
WITH_SPLIT = re.compile(rf"(?:(?P<name>.+?)(?:-ud)?[.-])?(?P<split>{'|'.join(SPLITS)})\Z")


class DataFile(NamedTuple):
    """A file of annotated data.

    path (Path): The file.
    name (str): Name of its data set.
    split (str | None): Its split, if its name says so.
    """

    path: Path
    name: str
    split: Optional[str]

    @property
    def lang(self) -> str:
        """RETURNS (str): The language that the data set's name begins with: "zh" of "zh_hant", "en" of "en_ewt"."""
        return re.split(r"[_-]", self.name)[0]


def find_data_files(
    path: Path,
    suffixes: Sequence[str],
    *,
    names: Optional[Collection[str]] = None,
    exclude: Optional[Collection[str]] = None,
    default: str = "xx",
) -> List[DataFile]:
    """Find the files of the chosen data sets.

    path (Path): A file, or a folder of files NAME.SPLIT.SUFFIX; SPLIT.SUFFIX and NAME.SUFFIX are taken too.
    suffixes (Sequence[str]): Suffixes of the format.
    names, exclude (Collection[str] | None): Data sets to take, and to leave out; `*` stands for anything.
    default (str): Name of a data set whose file has none.
    RETURNS (list[DataFile]): The files, by split and name.
    RAISES (InputError): There is none, or there are two for one data set and split.
    """
    found = [_parse(file, default) for file in sorted(_files(path, suffixes))]
    known = {file.name for file in found}
    missing = sorted(name for name in names or () if not any(fnmatchcase(one, name) for one in known))
    if known and missing:
        raise InputError(f"{path} holds no data set called {missing}; it has {sorted(known)}.")
    chosen = _match(known, names) - (_match(known, exclude) if exclude else set())
    files = [file for file in found if file.name in chosen]
    if not files:
        endings = ", ".join(f"NAME.{{train,dev,test}}{suffix}" for suffix in suffixes)
        raise InputError(f"{path} holds no file of the chosen data sets; expected files named {endings}.")
    _check_twins(path, files)
    order = (*SPLITS, None)
    return sorted(files, key=lambda file: (order.index(file.split), file.name))


def names_in(path: Path, suffixes: Sequence[str], default: str = "xx") -> Set[str]:
    """RETURNS (set[str]): Names of all data sets in a folder."""
    return {_parse(file, default).name for file in _files(path, suffixes)}


def _files(path: Path, suffixes: Sequence[str]) -> List[Path]:
    if path.is_file():
        return [path]
    return [file for suffix in suffixes for file in path.glob(f"*{suffix}") if file.is_file()]


def _parse(path: Path, default: str) -> DataFile:
    found = WITH_SPLIT.match(path.stem)
    if found is None:
        return DataFile(path, path.stem, None)
    name = (found["name"] or default).split(".")[0]
    return DataFile(path, name, found["split"])


def _match(known: Set[str], patterns: Optional[Collection[str]]) -> Set[str]:
    if not patterns:
        return set(known)
    return {name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _check_twins(path: Path, files: Sequence[DataFile]) -> None:
    seen: Set[Tuple[str, Optional[str]]] = set()
    for file in files:
        if (file.name, file.split) in seen:
            split = f", {file.split}" if file.split else ""
            raise InputError(
                f"{path} holds two files of {file.name}{split}; one is {file.path.name}. The part before the first "
                "dot is the name of a data set: give each its own."
            )
        seen.add((file.name, file.split))


def read_utf8(path: Path) -> str:
    """RETURNS (str): A file's text. RAISES (InputError): It is no UTF-8."""
    with path.open(encoding="utf-8-sig") as opened:
        return "".join(naming_damage(opened, path))


def naming_damage(lines: Iterable[str], path: Path) -> Iterator[str]:
    """YIELDS (str): The lines of an open file. RAISES (InputError): It is no UTF-8."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
