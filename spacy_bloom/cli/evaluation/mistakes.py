"""What stands where something else should: counted, and Doc by Doc."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from spacy.tokens import Doc, Span
from spacy.training import Example

from ...pipeline.answering.answer_scores import answer_scores
from ...pipeline.answering.answers import get_answers
from .measures import SPANS, Row, best_label, span_row

NONE = "-"  # neither label
Pair = Tuple[str, str]  # gold, predicted


class Mark(NamedTuple):
    """A span of tokens to mark.

    start, end (int): First token, and the one after the last.
    label (str): What it is called.
    is_right (bool): Whether gold and prediction agree.
    """

    start: int
    end: int
    label: str
    is_right: bool


class Side(NamedTuple):
    """One of the two Docs with what to mark in it."""

    doc: Doc
    marks: Sequence[Mark]
    note: str = ""


class Mistake(NamedTuple):
    """A Doc on which gold and prediction differ."""

    heading: str
    gold: Side
    predicted: Side


@dataclass
class Confusion:
    """How often a label was predicted where gold has another one.

    counts (Counter): By pairs of gold and predicted labels; NONE stands for no label.
    """

    counts: Counter = field(default_factory=Counter)

    @property
    def labels(self) -> List[str]:
        """RETURNS (list[str]): All labels, NONE last."""
        found = {label for pair in self.counts for label in pair}
        return sorted(found - {NONE}) + [NONE] * (NONE in found)

    def to_json(self) -> Dict[str, Dict[str, int]]:
        """RETURNS (dict[str, dict[str, int]]): Counts by gold label and predicted label."""
        rows: Dict[str, Dict[str, int]] = {}
        for (gold, predicted), n in sorted(self.counts.items()):
            rows.setdefault(gold, {})[predicted] = n
        return rows

    def label_rows(self) -> Dict[str, Row]:
        """RETURNS (dict[str, Row]): Counts, precision, recall and F of each label."""
        rows = {}
        for label in self.labels:
            gold = sum(n for pair, n in self.counts.items() if pair[0] == label)
            predicted = sum(n for pair, n in self.counts.items() if pair[1] == label)
            if label != NONE:
                row = span_row(docs=0, gold=gold, predicted=predicted, right=self.counts[label, label])
                rows[label] = {name: value for name, value in row.items() if name != "docs"}
        return rows


def compare(task: str, example: Example, confusion: Confusion) -> Optional[Mistake]:
    """Compare a predicted Doc with its gold one.

    task (str): As `find_measure` takes it.
    example (Example): The pair.
    confusion (Confusion): Is added to.
    RETURNS (Mistake | None): What is wrong; None if nothing is.
    """
    if task.startswith(SPANS):
        key = task.removeprefix(SPANS)
        return _compare_spans(example, lambda doc: doc.spans.get(key, ()), confusion)
    found = COMPARISONS.get(task)
    return None if found is None else found(example, confusion)


def _compare_entities(example: Example, confusion: Confusion) -> Optional[Mistake]:
    if not example.reference.has_annotation("ENT_IOB"):
        return None
    return _compare_spans(example, lambda doc: doc.ents, confusion)


def _compare_spans(
    example: Example, get: Callable[[Doc], Iterable[Span]], confusion: Confusion
) -> Optional[Mistake]:
    """Spans are compared by characters. One that is not right is confused with one of another label in its place, if
    there is one; a wrong border of the right label counts as missed and as invented.
    """
    gold, predicted = list(get(example.reference)), list(get(example.predicted))
    right = {_place(span) for span in gold} & {_place(span) for span in predicted}
    rest = [span for span in predicted if _place(span) not in right]
    for span in gold:
        other = None if _place(span) in right else _rival(span, rest)
        if other is not None:
            rest.remove(other)
        label = span.label_ if _place(span) in right else NONE if other is None else other.label_
        confusion.counts[span.label_, label] += 1
    for span in rest:
        confusion.counts[NONE, span.label_] += 1
    if len(right) == len(gold) == len(predicted):
        return None
    sides = [
        Side(doc, [Mark(span.start, span.end, span.label_, _place(span) in right) for span in spans])
        for doc, spans in ((example.reference, gold), (example.predicted, predicted))
    ]
    return Mistake("", *sides)


def _place(span: Span) -> Tuple[int, int, str]:
    return span.start_char, span.end_char, span.label_


def _rival(span: Span, others: Sequence[Span]) -> Optional[Span]:
    """RETURNS (Span | None): The span of another label that shares most characters with this one."""
    shared = [
        (min(span.end_char, other.end_char) - max(span.start_char, other.start_char), -i)
        for i, other in enumerate(others)
        if other.label_ != span.label_
    ]
    most = max(shared, default=(0, 0))
    return others[-most[1]] if most[0] > 0 else None


def _compare_categories(example: Example, confusion: Confusion) -> Optional[Mistake]:
    cats = example.reference.cats
    if not cats:
        return None
    gold, best = sorted(label for label, value in cats.items() if value > 0.5), best_label(example.predicted)
    if best in gold:
        confusion.counts[best, best] += 1
        return None
    confusion.counts[gold[0] if gold else NONE, best or NONE] += 1
    predicted = f"{best} {example.predicted.cats[best]:.0%}" if best else NONE
    note = ", ".join(gold) or NONE
    return Mistake("", Side(example.reference, (), note), Side(example.predicted, (), predicted))


def _compare_syntax(example: Example, confusion: Confusion) -> Optional[Mistake]:
    """Parts of speech, tags or relations, the first of these that both have; where tokens agree."""
    attrs = ("POS", "TAG", "DEP")
    docs = (example.reference, example.predicted)
    attr = next((name for name in attrs if all(doc.has_annotation(name) for doc in docs)), None)
    if attr is None:
        return None
    sides: Tuple[List[Mark], List[Mark]] = ([], [])
    aligned = example.get_aligned(attr, as_string=True)
    places = example.alignment.x2y
    for token, gold in zip(example.predicted, aligned, strict=True):
        if not isinstance(gold, str) or not gold or token.is_space:
            continue
        label = getattr(token, f"{attr.lower()}_") or NONE
        confusion.counts[gold, label] += 1
        if gold != label:
            i = int(places[token.i][0])
            sides[0].append(Mark(i, i + 1, gold, False))
            sides[1].append(Mark(token.i, token.i + 1, label, False))
    if not sides[0]:
        return None
    return Mistake(attr, Side(example.reference, sides[0]), Side(example.predicted, sides[1]))


def _compare_answers(example: Example, confusion: Confusion) -> Optional[Mistake]:
    predicted = get_answers(example.predicted)
    for question, spans in get_answers(example.reference).items():
        best = predicted.get(question, [])[:1]
        text = "".join(span.text for span in best)
        if answer_scores(text, [span.text for span in spans])["em"] < 1.0:
            marks = [[Mark(span.start, span.end, "ANSWER", False) for span in own] for own in (spans, best)]
            notes = ["" if own else "no answer" for own in marks]
            return Mistake(
                question,
                Side(example.reference, marks[0], notes[0]),
                Side(example.predicted, marks[1], notes[1]),
            )
    return None


COMPARISONS: Dict[str, Callable[[Example, Confusion], Any]] = {
    "ents": _compare_entities,
    "cats": _compare_categories,
    "syntax": _compare_syntax,
    "qa": _compare_answers,
}
