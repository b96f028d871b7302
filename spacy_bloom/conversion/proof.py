"""Proving that a trimmed checkpoint gives the same pieces, vectors and logits as the whole one."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..bloom.model import BloomModel
from ..checkpoint.files import CONFIG_FILE, WeightFiles
from ..checkpoint.load import load_model
from ..checkpoint.names import EMBEDDING, PREFIX
from ..config import BloomConfig
from ..errors import CheckpointError, InputError
from ..tokenizer import BloomTokenizerFast
from .convert import Plan

Ids = NDArray[np.int64]

CHUNK = 500_000  # characters that are encoded in one call
MAX_PIECES = 128  # of a text whose outputs are compared
# Relative to the largest element; two units in the last place of coarser dtypes. Rounding depends on the alignment of
# memory and on the width of matrices.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class EncodingProof:
    """Result of encoding a corpus with both tokenizers. The new pieces of every text decode to the same text.

    n_texts, n_bytes (int): Size of the corpus, bytes in UTF-8.
    n_pieces (int): Pieces of the corpus with the whole vocabulary.
    new_n_pieces (int): Pieces with the trimmed vocabulary.
    n_changed (int): Texts whose pieces changed.
    """

    n_texts: int
    n_bytes: int
    n_pieces: int
    new_n_pieces: int
    n_changed: int


@dataclass(frozen=True)
class OutputProof:
    """Differences between the outputs of both models on the same pieces.

    n_texts, n_pieces (int): Number of texts and pieces compared.
    hidden_states (float): Largest difference in the last hidden states.
    logits (float | None): Largest difference in the logits of kept pieces; None without an LM head.
    """

    n_texts: int
    n_pieces: int
    hidden_states: float
    logits: float | None


def read_batches(tokenizer: BloomTokenizerFast, texts: Iterable[str]) -> Iterator[tuple[bool, list[str]]]:
    """YIELDS (tuple[bool, list[str]]): True and some of the texts, to be encoded as data; then False and those of them
        with control tokens, which Hugging Face's tokenizer encodes differently.
    RAISES (InputError): They are not texts, or can be iterated only once.
    """
    if isinstance(texts, str) or iter(texts) is texts:
        got = "str" if isinstance(texts, str) else "an iterator"
        raise InputError(f"Expected texts that can be iterated several times, got {got}. Pass a list.")
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    control = [token.content for token in added if token.special]
    batch: list[str] = []
    n_characters = 0
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"Expected text (str), got {type(text).__name__}: {str(text)[:40]!r}.")
        batch.append(text)
        n_characters += len(text)
        if n_characters >= CHUNK:
            yield from _readings(batch, control)
            batch, n_characters = [], 0
    if batch:
        yield from _readings(batch, control)


def _readings(batch: list[str], control: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    yield True, batch
    marked = [text for text in batch if any(token in text for token in control)]
    if marked:
        yield False, marked


def encode(tokenizer: BloomTokenizerFast, texts: Sequence[str], as_data: bool) -> list[Ids]:
    """RETURNS (list[ndarray]): The pieces of each text. Each of shape (pieces,)."""
    encodings = tokenizer.encode_batch(texts, split_special_tokens=as_data, add_special_tokens=False)
    return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]


def compare_encodings(
    tokenizer: BloomTokenizerFast,
    trimmed: BloomTokenizerFast,
    kept: Ids,
    texts: Iterable[str],
    *,
    exact: bool,
    sample: Collection[int] = (),
) -> tuple[EncodingProof, list[Ids]]:
    """Encode texts with both tokenizers, and decode them.

    tokenizer, trimmed (BloomTokenizerFast): The whole and the trimmed tokenizer.
    kept (ndarray): The old id of each new id. Shape (kept,).
    texts (Iterable[str]): The texts.
    exact (bool): Whether changed pieces are an error.
    sample (Collection[int]): Indices of texts.
    RETURNS (tuple[EncodingProof, list[ndarray]]): The result, and the new pieces of the texts in the sample. Each of
        shape (pieces,).
    RAISES (CheckpointError): Pieces changed (exact), or decode to another text.
    """
    wanted, drawn = set(sample), []
    n_texts = n_bytes = n_pieces = new_n_pieces = n_changed = 0
    for as_data, batch in read_batches(tokenizer, texts):
        old, new = encode(tokenizer, batch, as_data), encode(trimmed, batch, as_data)
        changed = [i for i in range(len(batch)) if not np.array_equal(old[i], kept[new[i]])]
        if exact and changed:
            raise CheckpointError(_failure("is encoded to other pieces", batch[changed[0]]))
        for text, one, other in zip(batch, _decode(tokenizer, old), _decode(trimmed, new), strict=True):
            if one != other:
                raise CheckpointError(_failure("is decoded to another text", text))
        if as_data:
            drawn += [new[i] for i in range(len(batch)) if n_texts + i in wanted]
            n_texts += len(batch)
            n_bytes += sum(len(text.encode("utf8")) for text in batch)
            n_pieces += sum(map(len, old))
            new_n_pieces += sum(map(len, new))
            n_changed += len(changed)
    return EncodingProof(n_texts, n_bytes, n_pieces, new_n_pieces, n_changed), drawn


def _decode(tokenizer: BloomTokenizerFast, rows: Sequence[Ids]) -> list[str]:
    return tokenizer.backend_tokenizer.decode_batch([row.tolist() for row in rows], skip_special_tokens=False)


def _failure(what: str, text: str) -> str:
    return (
        f"The proof failed and nothing was written: with the trimmed vocabulary, a text {what}: {text[:80]!r}. If "
        "the texts did not change meanwhile, this is a bug; please report it with the tokenizer."
    )


def compare_outputs(
    plan: Plan, kept: Ids, sample: Sequence[Ids], written: Mapping[str, Path]
) -> OutputProof | None:
    """Run the whole model, then the trimmed one, in the dtype of the result. One model is in memory at a time, and its
    weights stay mapped where the dtype fits.

    plan (Plan): Source and result.
    kept (ndarray): The old id of each new id. Shape (kept,).
    sample (Sequence[ndarray]): New pieces of some texts. Each of shape (pieces,).
    written (Mapping[str, Path]): The files of the result by name.
    RETURNS (OutputProof | None): The result; None if there are no pieces.
    RAISES (CheckpointError): Outputs differ by more than rounding.
    """
    rows = [torch.from_numpy(ids[:MAX_PIECES]) for ids in sample if len(ids)]
    if not rows:
        return None
    ids, lengths = torch.cat(rows), [len(row) for row in rows]
    old_files = WeightFiles(plan.source)
    new_files = WeightFiles(
        written[CONFIG_FILE].parent,
        files=[written[name] for name in written if name.endswith(".safetensors")],
    )
    with torch.inference_mode():
        old = _encode_packed(
            plan.source / CONFIG_FILE, old_files, torch.from_numpy(kept)[ids], lengths, plan.dtype
        )
        new = _encode_packed(written[CONFIG_FILE], new_files, ids, lengths, plan.dtype)
        hidden_states = _difference(old, new, "hidden states")
        logits = None
        head = list(plan.rows)[-1]  # the LM head, or else the embedding
        if plan.config.tie_word_embeddings or head.removeprefix(PREFIX) != EMBEDDING:
            pairs = zip(old.split(lengths), new.split(lengths), strict=True)
            old_head, new_head = (files[head].to(plan.dtype) for files in (old_files, new_files))
            columns = torch.from_numpy(kept)
            # Text by text: of all of them, the logits of a whole vocabulary take gigabytes.
            logits = max(
                _difference(F.linear(a, old_head)[:, columns], F.linear(b, new_head), "logits")
                for a, b in pairs
            )
    return OutputProof(len(rows), len(ids), hidden_states, logits)


def _encode_packed(
    config: Path, files: WeightFiles, ids: Tensor, lengths: Sequence[int], dtype: torch.dtype
) -> Tensor:
    """RETURNS (Tensor): Last hidden states. Shape (pieces, hidden_size)."""
    return load_model(BloomModel, BloomConfig.from_json_file(config), files, dtype=dtype).encode_packed(
        ids, lengths
    )


def _difference(old: Tensor, new: Tensor, what: str) -> float:
    """RETURNS (float): The largest difference. RAISES (CheckpointError): It is more than rounding."""
    found = (old - new).abs().max().item()
    tolerance = max(TOLERANCE, 2 * torch.finfo(old.dtype).eps) * old.abs().max().item()
    if not found <= tolerance:
        raise CheckpointError(
            f"The proof failed and nothing was written: {what} of the trimmed checkpoint differ by {found:.3g}, more "
            f"than rounding ({tolerance:.3g})."
        )
    return found
