"""Vectors of a frozen transformer: computed once for each training text and read in later epochs."""

import hashlib
import logging
import os
import tempfile
import uuid
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ...errors import BloomWarning
from ...files import replacing
from ...settings import check_settings, number, one_of

logger = logging.getLogger(__name__)

Floats = NDArray[numpy.float32]

FILE_BYTES = 2**26  # vectors that are gathered in memory before they become a file
PATTERN = "vectors-*.safetensors"


@dataclass(frozen=True)
class ReuseSettings:
    """Which vectors are stored, and where.

    max_mb (float): Maximum size of the stored vectors in megabytes. Vectors that do not fit are computed in every
        epoch: since epochs repeat, dropping the oldest would always drop the one that is needed next.
    path (str | None): Folder to store them in, for later runs to use. It gets a subfolder for each combination of
        weights and settings.
    disk (bool): Without a path: use a temporary folder, removed at the end, instead of memory.
    dtype (str): "float32" is exact, "float16" half the size. Training uses rounded vectors from the start.
    RAISES (ConfigError): A value is out of range.
    """

    max_mb: Annotated[float, number(above=0)] = 1000.0
    path: str | None = None
    disk: bool = False
    dtype: Annotated[str, one_of("float32", "float16")] = "float32"

    def __post_init__(self) -> None:
        check_settings(self, "reuse")


class ReusedVectors:
    """Vectors by their text's pieces, for one state of the weights at a time. A copy starts empty.

    config (ReuseSettings): Which vectors are stored, and where.
    """

    def __init__(self, config: ReuseSettings) -> None:
        self.config = config
        self._identity: str | None = None
        self._start()

    def _start(self) -> None:
        self._gathered: dict[str, NDArray] = {}
        self._files: dict[str, Any] = {}  # opened, by the keys that they hold
        self._bytes = self._gathered_bytes = 0
        self._folder: Path | None = None
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._rest: weakref.finalize | None = None

    def __reduce__(self) -> tuple[type, tuple]:
        return ReusedVectors, (self.config,)

    @property
    def started(self) -> bool:
        """RETURNS (bool): Whether there was training. A pipeline that only predicts stores nothing."""
        return self._identity is not None

    def use(self, identity: str) -> None:
        """Switch to the vectors of these weights and settings; those of others are not read any more.

        identity (str): A digest of weights and settings; becomes the name of a folder.
        """
        if identity == self._identity:
            return
        self.close()
        self._start()
        self._identity = identity
        if self.config.path is not None:
            self._folder = Path(self.config.path) / identity
            self._folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(self._folder.glob(PATTERN)):
                self._open(file)
                self._bytes += file.stat().st_size
            logger.info("Vectors of %d texts are read from %s", len(self._files), self._folder)
            # The last vectors are written when the run ends, or when other weights are used.
            self._rest = weakref.finalize(self, _write_rest, self._gathered, self._folder, os.getpid())
        elif self.config.disk:
            self._temporary = tempfile.TemporaryDirectory(prefix="bloom-vectors-")
            self._folder = Path(self._temporary.name)

    def get(self, ids: NDArray[numpy.int64], size: int) -> Floats | None:
        """RETURNS (NDArray | None): The vectors of these pieces, if they are stored. Shape (pieces, size)."""
        key = _key(ids)
        found = self._gathered.get(key)
        if found is None and key in self._files:
            found = _read(self._files[key], key)
        if found is None or found.shape != (len(ids), size) or found.dtype != self.config.dtype:
            return None  # from a file of another origin
        return found.astype("float32", copy=False)

    def add(self, ids: NDArray[numpy.int64], vectors: Floats) -> Floats:
        """Store the vectors of these pieces, if there is room.

        ids (NDArray): Shape (pieces,).
        vectors (Floats): Shape (pieces, size). Must not be changed afterwards.
        RETURNS (NDArray): The vectors as `get` returns them; rounded in the same way if there is no room.
        """
        stored = vectors.astype(self.config.dtype, copy=False)
        key = _key(ids)
        if self._bytes + stored.nbytes <= self.config.max_mb * 1e6 and key not in self._gathered:
            stored.flags.writeable = False  # every epoch reads them
            self._gathered[key] = stored
            self._bytes += stored.nbytes
            self._gathered_bytes += stored.nbytes
            if self._folder is not None and self._gathered_bytes >= FILE_BYTES:
                self._open(_write(self._gathered, self._folder))
                self._gathered.clear()
                self._gathered_bytes = 0
        return stored.astype("float32", copy=False)

    def close(self) -> None:
        """Write the vectors that are not on disk yet, and remove a temporary folder."""
        if self._rest is not None:
            self._rest()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _open(self, file: Path) -> None:
        try:
            opened = safe_open(file, framework="np")
            self._files |= dict.fromkeys(opened.keys(), opened)
        except (SafetensorError, OSError) as error:
            warnings.warn(f"{file} is not read: {error}. Delete it.", BloomWarning, stacklevel=2)


def _key(ids: NDArray[numpy.int64]) -> str:
    return hashlib.sha256(numpy.ascontiguousarray(ids, dtype="<i8").tobytes()).hexdigest()


def _read(opened: Any, key: str) -> NDArray | None:
    try:
        return opened.get_tensor(key)
    except (SafetensorError, OSError, ValueError, TypeError):
        return None


def _write(vectors: Mapping[str, NDArray], folder: Path) -> Path:
    """RETURNS (Path): A new file, under a name that no other process takes."""
    file = folder / PATTERN.replace("*", uuid.uuid4().hex)
    with replacing(file) as partial:
        save_file({key: numpy.ascontiguousarray(value) for key, value in vectors.items()}, partial)
    return file


def _write_rest(vectors: Mapping[str, NDArray], folder: Path, process: int) -> None:
    if vectors and os.getpid() == process:  # what a forked process has is its parent's to write
        _write(vectors, folder)
