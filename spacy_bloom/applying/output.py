"""The folder that a corpus is written to, and what it says of itself."""

import hashlib
import re
from pathlib import Path
from typing import Any, Dict, List, Set, Union

from filelock import FileLock, Timeout

from ..errors import InputError
from ..files import read_json, to_json, write_file
from .shards import Shard

ABOUT = "apply.json"
FAILED = "failed.json"
LOCK = ".apply.lock"
ENDING = ".docs"
SHARD = re.compile(r"(?P<number>\d{6,})\.(?:spacy|jsonl)\Z")


class Output:
    """One run writes to the folder at a time.

    folder (Path): Made if it is not there.
    pipeline (str | Path): What `spacy.load` takes.
    texts (Path): What the files are below.
    sources (dict[str, Path]): The input's files.
    settings (dict[str, Any]): What the shards depend on besides.
    force (bool): Remove the shards of another pipeline, input or setting, instead of raising an error.
    RAISES (InputError): It holds something else, or another run writes to it.
    """

    def __init__(
        self,
        folder: Path,
        pipeline: Union[str, Path],
        texts: Path,
        sources: Dict[str, Path],
        settings: Dict[str, Any],
        *,
        force: bool,
    ) -> None:
        self.folder = folder
        self._sources = sources
        self._format = settings["format"]
        self._force = force
        self._about = {
            "pipeline": _print_of(Path(pipeline)) or str(pipeline),
            "sources": {name: path.stat().st_size for name, path in sources.items()},
            **settings,
        }

    def __enter__(self) -> "Output":
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"Expected {self.folder} to be a folder or a new name, got a file.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / LOCK)  # the system frees it when a process ends, however it does
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"Another run writes to {self.folder}. Wait for it, or choose another folder."
            ) from None
        try:
            self._check()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self._lock.release()

    def done(self, name: str) -> Set[int]:
        """name (str): An input file.
        RETURNS (set[int]): Numbers of its shards that are written.
        """
        found = (SHARD.match(path.name) for path in self._place(name).glob(f"*.{self._format}"))
        return {int(match["number"]) for match in found if match}

    def write(self, shard: Shard, content: bytes) -> None:
        """Write a shard's file, which is complete when it has its name."""
        path = self._place(shard.source) / f"{shard.number:06}.{self._format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)

    def write_failures(self, failures: List[Dict[str, Any]]) -> None:
        """Write what was given up, or remove what an earlier run wrote of that."""
        if failures:
            write_file(self.folder / FAILED, to_json(failures))
        else:
            (self.folder / FAILED).unlink(missing_ok=True)

    def _place(self, source: str) -> Path:
        """RETURNS (Path): The folder of a source's shards: not of its name alone, which ends as a file's does."""
        return self.folder / f"{source}{ENDING}"

    def _check(self) -> None:
        about = self.folder / ABOUT
        if about.exists():
            before = read_json(about)
            differing = sorted(key for key, value in self._about.items() if before.get(key) != value)
            if differing and not self._force:
                raise InputError(
                    f"{self.folder} was made with another {' and another '.join(differing)}. Choose another folder, or "
                    "begin anew with force (--force), which removes what is there."
                )
            if differing:
                self._clear(before.get("sources", {}))
        elif any(self.done(name) for name in self._sources):
            raise InputError(f"{self.folder} has shards but no {ABOUT}. Choose another folder.")
        write_file(about, to_json(self._about))

    def _clear(self, sources: Dict[str, Any]) -> None:
        for name in {*sources, *self._sources}:
            place = self._place(name)
            if place.is_dir() and self.folder.resolve() in place.resolve().parents:
                for path in place.iterdir():
                    if SHARD.match(path.name):
                        path.unlink()


def _print_of(pipeline: Path) -> str:
    """RETURNS (str): Tells a pipeline's folder from others by its config and the names and sizes of its files; a copy
    is the same. "" if it is no folder.
    """
    if not pipeline.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(path for path in pipeline.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(pipeline).as_posix()} {path.stat().st_size}\n".encode())
        if path.name in ("config.cfg", "meta.json"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
