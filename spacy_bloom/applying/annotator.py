"""A pipeline in a process, which turns shards into files of Docs."""

import json
import os
from typing import Any, Dict, List, Optional, Sequence

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..errors import InputError
from ..pipeline.memory_zone import memory_zone
from .shards import Shard
from .texts import read_shard

FORMATS = ("spacy", "jsonl")


class ShardAnnotator:
    """Turns shards into the bytes of files. One is made in each process that works.

    pipeline (str): What `spacy.load` takes.
    format (str): "spacy" for `.spacy` files, which `DocBin.from_disk` reads; "jsonl" for a line of spaCy's JSON per
        Doc, with the fields of its record under "meta".
    text_key (str): Name of the text in records.
    batch_size (int | None): Docs in a batch; None for the pipeline's own.
    n_threads (int): Threads of torch; 0 leaves them as they are.
    gpu_id (int): GPU to use, -1 for the CPU.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        format: str = "spacy",
        text_key: str = "text",
        batch_size: Optional[int] = None,
        n_threads: int = 0,
        gpu_id: int = -1,
    ) -> None:
        check_format(format)
        if n_threads:
            torch.set_num_threads(n_threads)
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        self.nlp: Language = spacy.load(pipeline)
        self.format = format
        self.text_key = text_key
        self.batch_size = batch_size

    def __call__(self, shard: Shard) -> bytes:
        """shard (Shard): Texts.
        RETURNS (bytes): The file's content: one Doc for each text, in their order.
        RAISES (InputError): A row is no text, or a Doc holds what cannot be saved.
        """
        # Strings of the shard leave the vocabulary with it: memory does not grow with the corpus.
        with memory_zone(self.nlp):
            texts = read_shard(shard, self.nlp.vocab, text_key=self.text_key)
            docs = self.nlp.pipe(texts, as_tuples=True, batch_size=self.batch_size)
            if self.format == "jsonl":
                return b"".join(_to_line(doc, known) for doc, known in docs)
            return _to_box(_with_metadata(doc, known) for doc, known in docs).to_bytes()


class DocBatches:
    """The same for `ray.data.Dataset.map_batches`, where the corpus is a dataset already: adds a column "doc", the
    bytes of one Doc each (`Doc.from_bytes`), to batches in numpy's format.

        dataset.map_batches(DocBatches, fn_constructor_args=("xx_pipeline",), batch_size=256, concurrency=4)

    pipeline (str): What `spacy.load` takes.
    text_key (str): Name of the column of texts.
    """

    def __init__(self, pipeline: str, *, text_key: str = "text") -> None:
        self.nlp: Language = spacy.load(pipeline)
        self.text_key = text_key

    def __call__(self, batch: Dict[str, Any]) -> Dict[str, Any]:
        """batch (dict[str, Any]): Columns of equal length, among them the texts.
        RETURNS (dict[str, Any]): The columns and "doc".
        """
        if self.text_key not in batch:
            raise InputError(f"Expected a column {self.text_key!r}, got {', '.join(batch)}.")
        texts: Sequence[str] = [str(text) for text in batch[self.text_key]]
        with memory_zone(self.nlp):
            docs: List[bytes] = [_without_activations(doc).to_bytes() for doc in self.nlp.pipe(texts)]
        return {**batch, "doc": docs}


def check_format(format: str) -> None:
    """RAISES (InputError): There is no such format."""
    if format not in FORMATS:
        raise InputError(f"Expected the format to be one of {', '.join(FORMATS)}, got {format!r}.")


def threads_for(n_workers: int) -> int:
    """RETURNS (int): Threads of torch in each of several processes that share a machine's cores."""
    return max(1, (os.cpu_count() or 1) // n_workers)


def _with_metadata(doc: Doc, known: Dict[str, Any]) -> Doc:
    doc.user_data.update(known)
    return doc


def _without_activations(doc: Doc) -> Doc:
    """Remove what a transformer leaves for listeners: a file of Docs has no place for it."""
    if Doc.has_extension("trf_data") and doc._.trf_data is not None:
        doc._.trf_data = None
    return doc


def _to_box(docs: Any) -> DocBin:
    box = DocBin(store_user_data=True)
    for doc in docs:
        try:
            # Asked to store nothing, spaCy still takes longer over it than over the annotation.
            box.store_user_data = bool(_without_activations(doc).user_data)
            box.add(doc)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise InputError(
                f"The Doc {doc.text[:40]!r} holds what a .spacy file cannot: {error}. Remove that custom attribute "
                "at the end of the pipeline, with spaCy's doc_cleaner for instance."
            ) from None
        if not box.store_user_data:
            box.user_data.append(None)
    box.store_user_data = True
    return box


def _to_line(doc: Doc, known: Dict[str, Any]) -> bytes:
    record = doc.to_json()
    return (json.dumps({**record, "meta": known} if known else record, ensure_ascii=False) + "\n").encode(
        "utf8"
    )
