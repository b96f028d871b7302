"""What is done at once: some neighbouring texts of one file, as they stand in it."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..corpora.doc_files import find_text_files, open_docs, read_docs
from ..errors import InputError


@dataclass(frozen=True)
class Shard:
    """Neighbouring texts of one file. They are parsed where they are annotated, so that a damaged line costs its shard
    and nothing else.

    source (str): The file, below the input folder.
    number (int): Which shard of the file, from 0.
    kind (str): Suffix of the file.
    rows (list[Any]): Lines as bytes; records of a Parquet file; for Docs, one DocBin as bytes.
    n_docs (int): How many texts there are.
    first (int): Number of the first row in the file, from 1; blank lines count.
    """

    source: str
    number: int
    kind: str
    rows: List[Any]
    n_docs: int
    first: int = 1


def find_sources(path: Path) -> Dict[str, Path]:
    """path (Path): A file `.txt`, `.jsonl`, `.spacy` or `.parquet`, or a folder with such files at any depth; others in
        it are ignored.
    RETURNS (dict[str, Path]): Names below the folder, with "/" between their parts, and the files; sorted.
    RAISES (InputError): There is none.
    """
    return find_text_files(path, ROWS)


def count_docs(path: Path) -> int:
    """RETURNS (int): How many texts a file has. RAISES (InputError): It cannot be read."""
    if path.suffix == ".parquet":
        return int(_open_parquet(path).metadata.num_rows)
    if path.suffix == ".spacy":
        return len(open_docs(path))
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def cut_shards(name: str, path: Path, size: int, *, done: Collection[int] = ()) -> Iterator[Shard]:
    """Cut a file into shards. One shard is in memory at a time, but for files of Docs, which are read whole.

    name (str): The file's name below the input folder.
    path (Path): The file.
    size (int): Texts in a shard; the last has what is left.
    done (Collection[int]): Numbers of the shards to leave out.
    YIELDS (Shard): The others.
    RAISES (InputError): The file cannot be read.
    """
    rows = iter(enumerate(ROWS[path.suffix](path), start=1))
    number = 0
    while chunk := _take(rows, size):
        if number not in done:
            held = [row for _, row in chunk]
            packed = [DocBin(store_user_data=True, docs=held).to_bytes()] if path.suffix == ".spacy" else held
            n_docs = sum(map(is_text, held))
            yield Shard(name, number, path.suffix, packed, n_docs, chunk[0][0])
        number += 1


def _take(rows: Iterator[Any], size: int) -> List[Any]:
    """RETURNS (list[Any]): The next rows, with as many texts as asked for; blank lines among them are none."""
    taken: List[Any] = []
    n_texts = 0
    while more := list(islice(rows, size - n_texts)):
        taken.extend(more)
        n_texts += sum(is_text(row) for _, row in more)
    return taken if n_texts else []


def is_text(row: Any) -> bool:
    """RETURNS (bool): Whether a row is more than a blank line."""
    return not isinstance(row, bytes) or bool(row.strip())


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _docs(path: Path) -> Iterator[Any]:
    # A vocabulary for each file, so that none grows with the corpus.
    return read_docs(path, Vocab())


def _records(path: Path) -> Iterator[Dict[str, Any]]:
    for batch in _open_parquet(path).iter_batches(batch_size=1000):
        yield from batch.to_pylist()


def _open_parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(
            f"Expected pyarrow to be installed for {path}. Run `pip install spacy-bloom[parquet]`."
        ) from None
    try:
        return ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {error}.") from None


ROWS: Dict[str, Callable[[Path], Iterable[Any]]] = {
    ".txt": _lines,
    ".jsonl": _lines,
    ".spacy": _docs,
    ".parquet": _records,
}
