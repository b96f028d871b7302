"""What in training data needs attention, and what to do about it."""

from typing import Iterator, List, Mapping

from .counts import Counts

FEW = 10  # examples of a label that is hard to learn
SHOWN = 8  # labels


def find_warnings(splits: Mapping[str, Counts], window: int) -> Iterator[str]:
    """splits (Mapping[str, Counts]): Counts by split; the first is learned from.
    window (int): Pieces of a window.
    YIELDS (str): What needs attention.
    """
    for name, counts in splits.items():
        if counts.blank:
            yield f"{name}: {counts.blank:,} of {counts.docs:,} Docs have no text. Leave them out."
        if counts.repeated:
            yield f"{name}: {counts.repeated:,} of {counts.docs:,} Docs repeat a text of another one."
        yield from _span_warnings(name, counts, window)
    first, *others = splits
    yield from _label_warnings(first, splits[first])
    for other in others:
        yield from _comparisons(first, splits[first], other, splits[other])


def _span_warnings(name: str, counts: Counts, window: int) -> Iterator[str]:
    for layer, n in counts.spans.items():
        if counts.misaligned[layer]:
            yield (
                f"{name}: {counts.misaligned[layer]:,} of {n:,} {layer} begin or end inside a token of the pipeline, such as "
                f"{', '.join(counts.examples[layer])}. They cannot be learned as they are: expand them to whole tokens "
                "(as convert-data does), or use another tokenizer."
            )
        if counts.overlapping[layer] and layer.startswith("spans."):
            yield (
                f"{name}: {counts.overlapping[layer]:,} of {n:,} {layer} overlap. spaCy's spancat learns them; a "
                "bloom_token_classifier learns one label for each token."
            )
        if counts.cut[layer]:
            yield (
                f"{name}: {counts.cut[layer]:,} of {n:,} {layer} are cut by the border of a window of {window} pieces: "
                "their tokens' vectors come from two windows. Widen the window, or cut the texts into paragraphs."
            )


def _label_warnings(name: str, counts: Counts) -> Iterator[str]:
    for layer, labels in counts.labels.items():
        if layer in ("dep", "answers"):
            continue
        few = [f"{label or '(none)'} ({n})" for label, n in labels.most_common() if n < FEW]
        if few:
            yield f"{name}: fewer than {FEW} examples of {layer}: {_listed(few)}. Add more, or drop the label."


def _comparisons(first: str, train: Counts, other: str, counts: Counts) -> Iterator[str]:
    shared = len(train.texts & counts.texts)
    if shared:
        yield (
            f"{other}: {shared:,} of {len(counts.texts):,} texts stand in {first} too: scores will be too good. Remove "
            f"them from {first}."
        )
    for layer, labels in counts.labels.items():
        missing = [label for label in labels if labels[label] and not train.labels.get(layer, {}).get(label)]
        if missing:
            yield f"{other}: {layer} that {first} does not have: {_listed(missing)}. They cannot be learned."


def _listed(names: List[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
