"""Scores of groups, of all Docs together, and on average over the groups."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from spacy.training import Example
from wasabi import color, table

from ..info import Align
from .measures import COUNTS, Measure, Row, find_measure, shown
from .mistakes import Confusion, Mistake, compare

MICRO, MACRO = "all", "mean"  # names of rows


@dataclass
class TaskResult:
    """What was found of a task.

    name (str): As `find_measure` takes it.
    groups (dict[str, Row]): Scores by group.
    micro, macro (Row): Scores of all Docs together, and averages of the groups' scores.
    labels (dict[str, Row]): Scores by label.
    confusion (Confusion): What stands where something else should.
    mistakes (dict[str, list[Mistake]]): Docs with mistakes, by group.
    """

    name: str
    groups: Dict[str, Row]
    micro: Row
    macro: Row
    confusion: Confusion
    labels: Dict[str, Row] = field(default_factory=dict)
    mistakes: Dict[str, List[Mistake]] = field(default_factory=dict)

    @property
    def measure(self) -> Measure:
        """RETURNS (Measure): How it was measured."""
        return find_measure(self.name)

    @property
    def columns(self) -> Tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Names of counts and scores."""
        return tuple(dict.fromkeys(name for row in (self.micro, *self.groups.values()) for name in row))

    @property
    def main(self) -> str:
        """RETURNS (str): The score to draw: the measure's, or the last that there is."""
        return self.measure.main or [name for name in self.columns if name not in COUNTS][-1]

    @property
    def rows(self) -> Dict[str, Row]:
        """RETURNS (dict[str, Row]): Groups, and below them all together and the average, if there are several."""
        several = {f"({MICRO})": self.micro, f"({MACRO})": self.macro} if len(self.groups) > 1 else {}
        return {**self.groups, **several}

    def to_json(self) -> Dict[str, Any]:
        """RETURNS (dict[str, Any]): Everything but the mistakes."""
        found = {"groups": self.groups, "micro": self.micro, "macro": self.macro}
        if self.labels:
            found["labels"] = self.labels
        if self.confusion.counts:
            found["confusion"] = self.confusion.to_json()
        return found

    def show(self) -> None:
        """Print tables."""
        print(f"\n{color(self.measure.title, bold=True)}")
        _print_rows(self.rows, self.columns)
        if len(self.labels) > 1:
            _print_rows(self.labels, tuple(next(iter(self.labels.values()))))


def evaluate_task(name: str, found: Sequence[Tuple[str, Example]], *, n_mistakes: int = 0) -> TaskResult:
    """Compare predicted Docs with gold ones.

    name (str): As `find_measure` takes it.
    found (Sequence[tuple[str, Example]]): Groups and pairs.
    n_mistakes (int): Docs with mistakes to keep of each group.
    RETURNS (TaskResult): The scores.
    """
    measure = find_measure(name)
    by_group: Dict[str, List[Example]] = defaultdict(list)
    for group, example in found:
        by_group[group].append(example)
    groups = {group: measure.score(examples) for group, examples in by_group.items()}
    micro = measure.score([example for _, example in found])
    confusion = Confusion()
    mistakes: Dict[str, List[Mistake]] = defaultdict(list)
    for group, example in found:
        mistake = compare(name, example, confusion)
        if mistake is not None and n_mistakes and len(mistakes[group]) < n_mistakes:
            mistakes[group].append(mistake)
    labels = confusion.label_rows() if name not in ("qa", "bits") else {}
    return TaskResult(name, groups, micro, average(list(groups.values())), confusion, labels, dict(mistakes))


def average(rows: Sequence[Row]) -> Row:
    """RETURNS (Row): Means of the scores, each over the groups that have it; counts are left out."""
    names = dict.fromkeys(name for row in rows for name in row if name not in COUNTS)
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    return {name: sum(own) / len(own) if own else None for name, own in values.items()}


def _print_rows(rows: Dict[str, Row], columns: Sequence[str]) -> None:
    cells = [(name, *(shown(column, row.get(column)) for column in columns)) for name, row in rows.items()]
    aligns: List[Align] = ["l", *(["r"] * len(columns))]  # type: ignore[list-item]
    header = ("", *(column.upper().replace("_", " ") for column in columns))
    print(table(cells, header=header, divider=True, aligns=aligns))
