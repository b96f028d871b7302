"""The page of `evaluate`: scores as bars and tables, confusions, and Docs with mistakes."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, NamedTuple, Sequence, Tuple

from markupsafe import Markup
from spacy import displacy
from spacy.tokens import Doc

from ...pipeline.pages.marks import Mark as DrawnMark
from ...pipeline.pages.marks import mark_text
from ...pipeline.pages.rendering import direction
from ..evaluation.measures import SPANS, shown
from ..evaluation.mistakes import Confusion, Mark, Mistake, Side
from ..evaluation.results import TaskResult
from .cards import ENVIRONMENT

RIGHT, WRONG = "#b2f2bb", "#ffc9c9"
MAX_LABELS = 25  # of a matrix that can be read


@dataclass(frozen=True)
class Evaluation:
    """What a page shows.

    pipeline, corpus, by (str): What was evaluated on what, and what groups the Docs.
    n_docs (int): Number of Docs.
    speed (float): Words per second.
    results (Sequence[TaskResult]): What was found.
    """

    pipeline: str
    corpus: str
    by: str
    n_docs: int
    speed: float
    results: Sequence[TaskResult]


class Bar(NamedTuple):
    """A score for the template."""

    label: str
    text: str
    width: str


class Table(NamedTuple):
    """A table for the template; the style of each cell is beside it."""

    header: Sequence[str]
    rows: Sequence[Sequence[Tuple[str, str]]]


class Card(NamedTuple):
    """A Doc with mistakes for the template."""

    group: str
    heading: str
    direction: str
    sides: Sequence[Tuple[str, str, Markup]]


def render_evaluation(evaluation: Evaluation) -> str:
    """RETURNS (str): A complete HTML page, which needs nothing else."""
    return ENVIRONMENT.get_template("evaluation.html").render(
        title=f"Evaluation of {evaluation.pipeline}",
        evaluation=evaluation,
        sections=[_section(result) for result in evaluation.results],
    )


def _section(result: TaskResult) -> Dict[str, Any]:
    labels = result.labels if len(result.labels) > 1 else {}
    return {
        "title": result.measure.title,
        "main": result.main.replace("_", " "),
        "bars": list(_bars(result)),
        "scores": _table(result.rows, result.columns),
        "labels": _table(labels, tuple(next(iter(labels.values())))) if labels else None,
        "confusion": _matrix(result.confusion),
        "n_labels": len(result.confusion.labels),
        "max_labels": MAX_LABELS,
        "cards": [
            _card(group, mistake, result.name) for group, own in result.mistakes.items() for mistake in own
        ],
    }


def _bars(result: TaskResult) -> Iterator[Bar]:
    values = {group: row.get(result.main) or 0.0 for group, row in result.rows.items()}
    # Bits have no highest value; all other scores are shares.
    top = max(values.values(), default=0.0) if result.main == "bits_per_byte" else 1.0
    for group, value in values.items():
        yield Bar(group, shown(result.main, value), f"{100 * value / (top or 1.0):.2f}%")


def _table(rows: Dict[str, Dict[str, Any]], columns: Sequence[str]) -> Table:
    header = ["", *(column.replace("_", " ") for column in columns)]
    cells = [[(name, ""), *((shown(c, row.get(c)), "") for c in columns)] for name, row in rows.items()]
    return Table(header, cells)


def _matrix(confusion: Confusion) -> Table | None:
    """RETURNS (Table | None): Rows are gold labels, columns predicted ones; darker is a larger share of the row."""
    labels = confusion.labels
    if not 1 < len(labels) <= MAX_LABELS:
        return None
    rows = []
    for gold in labels:
        counts = [confusion.counts[gold, predicted] for predicted in labels]
        total = sum(counts)
        cells = [
            (f"{n:,}" if n else "", _shade(n / total if total else 0.0, gold == predicted))
            for n, predicted in zip(counts, labels, strict=True)
        ]
        rows.append([(gold, ""), *cells])
    return Table(["gold \\ predicted", *labels], rows)


def _shade(share: float, is_right: bool) -> str:
    """RETURNS (str): A background that text of either scheme can be read on, as only its opacity changes."""
    if not share:
        return ""
    color = "64, 192, 87" if is_right else "250, 82, 82"
    return f"background: rgba({color}, {0.1 + 0.4 * share:.2f})"


def _card(group: str, mistake: Mistake, task: str) -> Card:
    sides = [
        (name, side.note, _mark(side, overlaps=task.startswith(SPANS)))
        for name, side in (("gold", mistake.gold), ("predicted", mistake.predicted))
    ]
    if task == "cats":  # the text is the same, and nothing in it is marked
        sides[1] = (*sides[1][:2], Markup(""))
    return Card(group, mistake.heading, direction(mistake.gold.doc.text), sides)


def _mark(side: Side, *, overlaps: bool) -> Markup:
    """RETURNS (Markup): A Doc with its marks; as displaCy draws them, if they may overlap."""
    doc, marks = side.doc, sorted(side.marks, key=lambda mark: (mark.start, -mark.end))
    if not overlaps or not marks:
        return mark_text(doc.text, [_drawn(doc, mark) for mark in marks])
    given: Dict[str, Any] = {
        "text": doc.text,
        "title": None,
        "settings": {"lang": doc.lang_, "direction": direction(doc.text)},
        "spans": [{"start_token": m.start, "end_token": m.end, "label": _label(m)} for m in marks],
        "tokens": [token.text for token in doc],
    }
    colors = {_label(mark): _color(mark) for mark in marks}
    return Markup(
        displacy.render(given, style="span", manual=True, jupyter=False, options={"colors": colors})
    )


def _drawn(doc: Doc, mark: Mark) -> DrawnMark:
    span = doc[mark.start : mark.end]
    return DrawnMark(span.start_char, span.end_char, _label(mark), color=_color(mark))


def _color(mark: Mark) -> str:
    return RIGHT if mark.is_right else WRONG


def _label(mark: Mark) -> str:
    return mark.label if mark.is_right else f"{mark.label} \u2717"
