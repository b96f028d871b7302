"""Trimming a checkpoint's vocabulary to the pieces that occur in a corpus."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoint.files import CONFIG_FILE, GENERATION_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE
from ..checkpoint.names import EMBEDDING, PREFIX, TIED_HEAD
from ..checkpoint.writing import MAX_SHARD_SIZE
from ..config import BloomConfig
from ..errors import CheckpointError, InputError
from ..files import read_json
from ..settings import check, integer
from ..tokenizer import BloomTokenizerFast
from .convert import Plan, convert_checkpoint, plan_conversion
from .piece_ids import named_ids, with_ids
from .proof import EncodingProof, Ids, OutputProof, compare_encodings, compare_outputs, encode, read_batches
from .vocabulary import Vocabulary

# Files beside config.json that may name pieces by id.
NAMING_FILES = (GENERATION_FILE, TOKENIZER_CONFIG_FILE)
CHECK_TEXTS = 32


@dataclass(frozen=True)
class Trimming:
    """What is kept of a checkpoint; made without reading any weight.

    plan (Plan): What to read and write.
    tokenizer, trimmed (BloomTokenizerFast): Tokenizers of the source and of the result.
    kept (ndarray): The old id of each piece of the result. Shape (kept,), int64.
    texts, keep (Iterable[str]): The corpus; further texts of which all pieces are kept.
    n_texts (int): Number of texts in the corpus.
    min_count (int): How often a piece must occur in the corpus to be kept.
    """

    plan: Plan
    tokenizer: BloomTokenizerFast
    trimmed: BloomTokenizerFast
    kept: Ids
    texts: Iterable[str]
    keep: Iterable[str]
    n_texts: int
    min_count: int


def plan_trimming(
    source: Path,
    texts: Iterable[str],
    *,
    keep: Iterable[str] = (),
    min_count: int = 1,
    dtype: torch.dtype | None = None,
) -> Trimming:
    """Find the pieces that occur in a corpus, and plan a checkpoint without the others.

    Control tokens in texts are encoded as ordinary text. Texts with control tokens are also encoded as Hugging Face's
    tokenizer does by default, and those pieces are kept too.

    source (Path): Directory in the Hugging Face layout, with a tokenizer.
    texts (Iterable[str]): The corpus, iterated several times: a list, or an iterable that starts anew each time.
    keep (Iterable[str]): Further texts of which all pieces are kept, iterated likewise.
    min_count (int): Keep pieces that occur at least this often in the corpus. With more than 1, some of its texts are
        encoded to other pieces than before.
    dtype (torch.dtype | None): Dtype of the result; None keeps the files'.
    RETURNS (Trimming): The plan for `trim_checkpoint`.
    RAISES (BloomError): The checkpoint is damaged or has another kind of tokenizer, or there are no texts.
    """
    check("min_count", min_count, integer(1), error=InputError)
    plan = plan_conversion(source, dtype=dtype)
    tokenizer = BloomTokenizerFast.from_directory(source)
    vocabulary = Vocabulary(source / TOKENIZER_FILE, tokenizer)
    _check_rows(plan.config, vocabulary)
    used, n_texts = _used_pieces(tokenizer, texts, keep, min_count)
    config = plan.config.to_diff_dict()
    naming = {name: read_json(source / name) for name in NAMING_FILES if (source / name).is_file()}
    for name, content in {CONFIG_FILE: config, **naming}.items():
        vocabulary.check(named_ids(content), str(source / name))
        used.update(named_ids(content))
    kept = vocabulary.close(used)
    new_ids = {old: new for new, old in enumerate(kept)}
    contents = {name: _to_json(with_ids(content, new_ids.__getitem__)) for name, content in naming.items()}
    contents[TOKENIZER_FILE] = vocabulary.trim(kept)
    ids = {piece: new_ids.get(old) for piece, old in vocabulary.ids.items()}
    return Trimming(
        plan=_with_rows(plan, kept, with_ids(config, new_ids.__getitem__), contents),
        tokenizer=tokenizer,
        trimmed=_load(contents[TOKENIZER_FILE], tokenizer, ids),
        kept=np.array(kept, dtype=np.int64),
        texts=texts,
        keep=keep,
        n_texts=n_texts,
        min_count=min_count,
    )


def trim_checkpoint(
    trimming: Trimming,
    output: Path,
    *,
    check_texts: int = CHECK_TEXTS,
    seed: int = 0,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    force: bool = False,
    progress: Callable[[int], object] = lambda n_bytes: None,
) -> tuple[EncodingProof, OutputProof | None]:
    """Write the trimmed checkpoint, once it is proven that it reads the corpus as the source does. If the proof fails,
    the output stays as it was.

    trimming (Trimming): What to keep.
    output, max_shard_size, force, progress: As for `convert_checkpoint`.
    check_texts (int): Number of texts whose hidden states and logits are compared; 0 compares none.
    seed (int): Seed with which these texts are drawn.
    RETURNS (tuple[EncodingProof, OutputProof | None]): What was compared, and the differences found.
    RAISES (CheckpointError): The proof failed.
    RAISES (InputError): The output is not empty, or the disk is too full.
    """
    check("check_texts", check_texts, integer(0), error=InputError)
    t = trimming
    rng = np.random.default_rng(seed)
    drawn = rng.choice(t.n_texts, size=min(check_texts, t.n_texts), replace=False).tolist()
    pair = (t.tokenizer, t.trimmed, t.kept)
    encodings, sample = compare_encodings(*pair, t.texts, exact=t.min_count == 1, sample=drawn)
    compare_encodings(*pair, t.keep, exact=True)
    outputs: list[OutputProof | None] = []

    def prove(written: Mapping[str, Path]) -> None:
        outputs.append(compare_outputs(t.plan, t.kept, sample, written))

    convert_checkpoint(
        t.plan, output, max_shard_size=max_shard_size, force=force, progress=progress, check=prove
    )
    return encodings, outputs[0]


def _used_pieces(
    tokenizer: BloomTokenizerFast, texts: Iterable[str], keep: Iterable[str], min_count: int
) -> tuple[set[int], int]:
    """RETURNS (tuple[set[int], int]): Ids of the pieces that occur often enough; number of texts.
    RAISES (InputError): There are no texts.
    """
    counts, n_texts = _count(tokenizer, texts)
    if not n_texts:
        raise InputError("Got no texts. Expected texts whose pieces are to be kept.")
    used = set(np.flatnonzero(counts >= min_count).tolist())
    used.update(np.flatnonzero(_count(tokenizer, keep)[0]).tolist())
    return used, n_texts


def _count(tokenizer: BloomTokenizerFast, texts: Iterable[str]) -> tuple[Ids, int]:
    """RETURNS (tuple[ndarray, int]): How often each piece occurs, in the encoding in which it occurs more often, shape
    (ids,); number of texts.
    """
    counts = np.zeros((2, max(tokenizer.get_vocab().values()) + 1), dtype=np.int64)
    n_texts = 0
    for as_data, batch in read_batches(tokenizer, texts):
        pieces = np.concatenate(encode(tokenizer, batch, as_data))
        counts[int(as_data)] += np.bincount(pieces, minlength=counts.shape[1])
        n_texts += len(batch) if as_data else 0
    return counts.max(axis=0), n_texts


def _check_rows(config: BloomConfig, vocabulary: Vocabulary) -> None:
    last = max(vocabulary.ids.values())
    if last >= config.vocab_size:
        raise CheckpointError(
            f"{vocabulary.file} has a piece with the id {last}, but the embedding has only {config.vocab_size} rows. "
            "Do tokenizer and weights belong to the same checkpoint?"
        )


def _with_rows(plan: Plan, kept: Sequence[int], config: dict[str, Any], contents: dict[str, str]) -> Plan:
    """RETURNS (Plan): The plan with the kept rows of the embedding, and of an LM head that is not tied to it."""
    sizes = dict(plan.sizes)
    matrices = [name for name in sizes if name.removeprefix(PREFIX) in (EMBEDDING, TIED_HEAD)]
    if len({sizes[name] for name in matrices}) > 1:
        raise CheckpointError(f"Expected {matrices} in {plan.source} to have the same shape.")
    for name in matrices:
        sizes[name] = sizes[name] // plan.config.vocab_size * len(kept)
    return replace(
        plan,
        config=BloomConfig.from_dict({**config, "vocab_size": len(kept)}),
        sizes=sizes,
        rows=dict.fromkeys(matrices, torch.tensor(kept)),
        contents=contents,
    )


def _load(content: str, tokenizer: BloomTokenizerFast, ids: Mapping[str, int | None]) -> BloomTokenizerFast:
    """content (str): Content of the trimmed tokenizer.json.
    tokenizer (BloomTokenizerFast): The whole tokenizer, whose options are kept.
    ids (Mapping[str, int | None]): The new id of each piece; None for pieces that are not kept.
    RETURNS (BloomTokenizerFast): The trimmed tokenizer.
    RAISES (CheckpointError): The library gives its pieces other ids.
    """
    trimmed = BloomTokenizerFast.from_strings(content.encode("utf8"), tokenizer.init_kwargs)
    if trimmed.get_vocab() != {piece: i for piece, i in ids.items() if i is not None}:
        raise CheckpointError(
            "The trimmed tokenizer.json does not get the ids that were planned for its pieces."
        )
    return trimmed


def _to_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
