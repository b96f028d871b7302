"""Counts of the annotation in training data."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch

from ...pipeline.answering.answers import get_answers
from ...thinc_layers.pieces.windows import DocPieces, WindowSettings, cut_docs
from ...tokenizer import BloomTokenizerFast

CHUNK_SIZE = 64  # Docs
TOKEN_LAYERS = ("tag", "pos", "dep")
SHOWN_SPANS = 3


@dataclass
class Counts:
    """Counts of a split.

    docs, blank (int): All Docs, and those without text.
    repeated (int): Docs whose text stands there before.
    labels (dict[str, Counter]): How often each label occurs, by what is annotated: "ents", "spans.KEY", "cats", "tag",
        "pos", "dep" and "answers".
    spans, overlapping, misaligned, cut (Counter): By what is annotated, all spans; those that overlap another one;
        those that begin or end inside a token of the pipeline; those whose pieces are read from several windows.
    examples (dict[str, list[str]]): Some of the misaligned spans.
    texts (set[int]): Hashes of the texts.
    """

    docs: int = 0
    blank: int = 0
    repeated: int = 0
    labels: Dict[str, Counter] = field(default_factory=dict)
    spans: Counter = field(default_factory=Counter)
    overlapping: Counter = field(default_factory=Counter)
    misaligned: Counter = field(default_factory=Counter)
    cut: Counter = field(default_factory=Counter)
    examples: Dict[str, List[str]] = field(default_factory=dict)
    texts: Set[int] = field(default_factory=set)

    def to_json(self) -> Dict[str, Any]:
        """RETURNS (dict[str, Any]): All counts."""
        return {
            "docs": self.docs,
            "blank": self.blank,
            "repeated": self.repeated,
            "labels": {name: dict(counts.most_common()) for name, counts in self.labels.items()},
            **{name: dict(getattr(self, name)) for name in ("spans", "overlapping", "misaligned", "cut")},
        }


def count_docs(
    docs: Iterable[Doc], nlp: Language, tokenizer: BloomTokenizerFast, windows: WindowSettings
) -> Counts:
    """Count the annotation of Docs.

    docs (Iterable[Doc]): The Docs, with gold annotation.
    nlp (Language): Its tokenizer makes the tokens that are learned on.
    tokenizer (BloomTokenizerFast): Makes the pieces.
    windows (WindowSettings): How long texts are cut.
    RETURNS (Counts): The counts.
    """
    counts = Counts()
    for batch in minibatch(docs, CHUNK_SIZE):
        tokenized = [nlp.tokenizer(doc.text) for doc in batch]
        pieces = cut_docs(tokenizer, tokenized)
        for gold, own, cut in zip(batch, tokenized, pieces, strict=True):
            _count(counts, gold, own, cut, windows)
    return counts


def _count(counts: Counts, gold: Doc, tokenized: Doc, pieces: DocPieces, windows: WindowSettings) -> None:
    counts.docs += 1
    counts.blank += not gold.text.strip()
    key = hash(gold.text)
    counts.repeated += key in counts.texts
    counts.texts.add(key)
    for label, value in gold.cats.items():
        counts.labels.setdefault("cats", Counter())[label] += value > 0.5
    for layer in TOKEN_LAYERS:
        if len(gold) and gold.has_annotation(layer.upper()):
            counts.labels.setdefault(layer, Counter()).update(getattr(token, f"{layer}_") for token in gold)
    borders = _window_borders(pieces, windows)
    for name, spans in _span_layers(gold):
        known = counts.labels.setdefault(name, Counter())
        known.update("answer" if name == "answers" else span.label_ for span in spans)
        counts.spans[name] += len(spans)
        counts.overlapping[name] += _overlapping(spans)
        for span in spans:
            _count_span(counts, name, span, tokenized, borders)


def _count_span(counts: Counts, name: str, span: Span, tokenized: Doc, borders: Sequence[int]) -> None:
    start, end = span.start_char, span.end_char
    if tokenized.char_span(start, end) is None:
        counts.misaligned[name] += 1
        shown = counts.examples.setdefault(name, [])
        if len(shown) < SHOWN_SPANS:
            around = tokenized.char_span(start, end, alignment_mode="expand")
            shown.append(f"{span.text!r} in {'' if around is None else around.text!r}")
    counts.cut[name] += any(start < border < end for border in borders)


def _span_layers(doc: Doc) -> Iterator[Tuple[str, List[Span]]]:
    if len(doc) and doc.has_annotation("ENT_IOB"):
        yield "ents", list(doc.ents)
    for key, group in doc.spans.items():
        if "questions" not in group.attrs:
            yield f"spans.{key}", list(group)
    answers = get_answers(doc)
    if answers:
        yield "answers", [span for spans in answers.values() for span in spans]


def _overlapping(spans: Sequence[Span]) -> int:
    """RETURNS (int): Number of spans that share a token with another one."""
    taken = Counter(i for span in spans for i in range(span.start, span.end))
    return sum(any(taken[i] > 1 for i in range(span.start, span.end)) for span in spans)


def _window_borders(pieces: DocPieces, windows: WindowSettings) -> List[int]:
    """RETURNS (list[int]): Where in the text the vectors begin that are taken from another window."""
    cut = windows.cut([len(pieces.ids)])
    return [int(pieces.offsets[window.keep, 0]) for window in cut[1:]]
