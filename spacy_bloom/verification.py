"""Comparing a checkpoint with what was published about BLOOM."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from .checkpoint.directory import Checkpoint
from .checkpoint.files import TOKENIZER_FILE, has_weights
from .config import BloomConfig
from .conversion.description import describe_directory
from .generation.causal_lm import BloomForCausalLM
from .published import (
    GEOMETRIES,
    N_PIECES,
    PARAMETERS,
    TEXTS,
    TEXTS_REVISION,
    TEXTS_SIZE,
    TOKENIZED,
    VOCAB_SIZE,
    PublishedTexts,
)
from .tokenizer import BloomTokenizerFast

State = Literal["same", "different", "not checked"]


@dataclass(frozen=True)
class Check:
    """One comparison.

    fact (str): What was published.
    state (str): "same", "different" or "not checked".
    detail (str): What was found; what was expected, if that differs; why it was not checked.
    """

    fact: str
    state: State
    detail: str


def verify(path: Path, size: str | None = None, *, revision: str | None = None) -> Iterator[Check]:
    """Compare a checkpoint with what was published: geometry, parameters, tokenizer, and texts where there are some.

    path (Path): Directory in the Hugging Face layout; what is missing is not checked.
    size (str | None): The published size that it should be, a key of GEOMETRIES; by default the one of its geometry.
    revision (str | None): Its revision on the Hub, if it is known. Texts are published for one.
    YIELDS (Check): One comparison after the other; texts, which need the weights, come last.
    RAISES (BloomError): A file is damaged.
    """
    checkpoint = Checkpoint(path)
    size = size or size_of(checkpoint.config)
    yield _check_geometry(checkpoint.config, size)
    yield _check_parameters(path, size)
    if not (path / TOKENIZER_FILE).is_file():
        yield Check("tokenizer", "not checked", f"there is no {TOKENIZER_FILE}")
        yield Check("texts", "not checked", f"there is no {TOKENIZER_FILE}")
        return
    tokenizer = BloomTokenizerFast.from_checkpoint(checkpoint)
    yield from _check_tokenizer(tokenizer)
    reason = _why_no_texts(path, size, revision)
    if reason is not None:
        yield Check("texts", "not checked", reason)
        return
    model = BloomForCausalLM.from_pretrained(path, dtype=torch.float32)
    for published in TEXTS:
        yield from check_texts(model, tokenizer, published)


def size_of(config: BloomConfig) -> str | None:
    """RETURNS (str | None): The published size with this geometry, whatever its vocabulary."""
    geometry = (config.hidden_size, config.n_layer, config.n_head)
    return next((size for size, published in GEOMETRIES.items() if published == geometry), None)


def check_texts(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, published: PublishedTexts
) -> Iterator[Check]:
    """model (BloomForCausalLM): In float32.
    published (PublishedTexts): Prompts, and what should follow.
    YIELDS (Check): For each prompt alone, and if there are several, for each in one batch padded on the left.
    """
    prompts = list(published.texts)
    longest = max(len(ids) for ids in tokenizer(prompts).input_ids)
    n_new = published.max_length - longest
    if n_new < 1:
        found = f"expected prompts of less than {published.max_length} pieces, got {longest}"
        yield Check(f"texts of {published.max_length} pieces", "different", found)
        return
    for prompt in prompts:
        yield _check_text(prompt, _continue(model, tokenizer, [prompt], n_new)[0], published, "alone")
    if len(prompts) > 1:
        for prompt, text in zip(prompts, _continue(model, tokenizer, prompts, n_new), strict=True):
            yield _check_text(prompt, text, published, "in a batch")


def _continue(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, prompts: list[str], n_new: int
) -> list[str]:
    batch = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    # Not limited to the tokenizer's pieces: what was published was not.
    rows = model.generate(**batch, max_new_tokens=n_new, do_sample=False, num_beams=1)
    return tokenizer.batch_decode(rows, skip_special_tokens=True)


def _check_text(prompt: str, text: str, published: PublishedTexts, how: str) -> Check:
    return _compare(f"{prompt!r} {how}", text.removeprefix(prompt), published.texts[prompt])


def _check_geometry(config: BloomConfig, size: str | None) -> Check:
    found = f"{config.hidden_size}, {config.n_layer}, {config.n_head}, {config.vocab_size}"
    if size is None:
        return Check("hidden size, blocks, heads, rows", "different", f"{found}: no published size has these")
    expected = ", ".join(map(str, (*GEOMETRIES[size], VOCAB_SIZE)))
    return _compare(f"hidden size, blocks, heads, rows of {size}", found, expected)


def _check_parameters(path: Path, size: str | None) -> Check:
    if size is None:
        return Check("parameters", "not checked", "of no published size")
    description = describe_directory(size, path)
    fact = f"parameters of {size}"
    if description.problem is not None:
        return Check(fact, "different", description.problem)
    if not has_weights(path):
        return Check(fact, "not checked", "there are no weights")
    own = description.parameters - sum(map(_count, description.head.values()))
    return _compare(fact, f"{own:,}", f"{PARAMETERS[size]:,}")


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _check_tokenizer(tokenizer: BloomTokenizerFast) -> Iterator[Check]:
    yield _compare("pieces", f"{len(tokenizer):,}", f"{N_PIECES:,}")
    for text, ids in TOKENIZED.items():
        found = tokenizer(text, split_special_tokens=False).input_ids
        yield _compare(f"ids of {text!r}", str(found), str(list(ids)))
        yield _compare(f"text of the ids of {text!r}", repr(tokenizer.decode(found)), repr(text))


def _why_no_texts(path: Path, size: str | None, revision: str | None) -> str | None:
    """RETURNS (str | None): Why no text can be compared; None if it can."""
    if size != TEXTS_SIZE:
        return f"published for {TEXTS_SIZE} only"
    if revision not in (None, TEXTS_REVISION):
        return f"published for the revision {TEXTS_REVISION}, got {revision}"
    return None if has_weights(path) else "there are no weights"


def _compare(fact: str, found: str, expected: str) -> Check:
    if found == expected:
        return Check(fact, "same", found)
    return Check(fact, "different", f"expected {expected}, got {found}")
