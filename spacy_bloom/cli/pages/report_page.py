"""The page of `report`: the curves of a training, and scores by language."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ..evaluation.measures import COUNTS, find_measure, shown
from ..reporting.training_logs import Log
from .cards import ENVIRONMENT
from .charts import COLORS, render_chart
from .evaluation_page import Bar, Table


@dataclass(frozen=True)
class Report:
    """What the page shows.

    name (str): Of the training.
    log (Log | None): Its curves.
    performance (Mapping[str, Mapping[str, Any]]): Scores of what it saved, by the name of the folder.
    evaluation (Mapping[str, Mapping[str, Any]]): Scores by task, as `evaluate --json` writes them.
    """

    name: str
    log: Log | None
    performance: Mapping[str, Mapping[str, Any]]
    evaluation: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Section:
    """A part of the page below the curves."""

    title: str
    about: str
    bars: Sequence[Bar] = ()
    table: Table | None = None


def render_report(report: Report) -> str:
    """RETURNS (str): A complete HTML page, which needs nothing else."""
    return ENVIRONMENT.get_template("report.html").render(
        title=f"Training: {report.name}",
        about=_about(report.log),
        charts=list(_charts(report.log)) if report.log else [],
        sections=list(_sections(report)),
    )


def _about(log: Log | None) -> str:
    if log is None:
        return "No curves: let spacy-bloom.ConsoleLogger.v1 write them with output_file, and give that file with --log."
    curves = log.scores or log.losses
    points = max(curves.values(), key=len)
    return f"{len(points):,} evaluations in {points[-1][0]:,.0f} {log.unit}."


def _charts(log: Log) -> Iterator[Markup]:
    """YIELDS (Markup): Scores together, as all are shares or bits; a loss for each component, as their sizes differ."""
    if log.scores:
        yield render_chart("Scores on the development data", log.scores, unit=log.unit)
    for name, points in log.losses.items():
        yield render_chart(f"Loss: {name}", {name: points}, unit=log.unit)
    many = list(log.by_file.items())
    for first in range(0, len(many), len(COLORS)):  # as many as there are colours
        part = dict(many[first : first + len(COLORS)])
        yield render_chart("Bits a byte by file", part, unit=log.unit)


def _sections(report: Report) -> Iterator[Section]:
    if report.log and report.log.by_file:
        last = {name: points[-1][1] for name, points in report.log.by_file.items()}
        bars = list(_bars(last, "bits_per_byte"))
        yield Section("By language", "Bits a byte of each file at the end; fewer are better.", bars)
    for task, result in report.evaluation.items():
        yield _evaluated(task, result)
    if report.performance:
        about = "As the pipelines' meta.json has them, in percent."
        yield Section("Scores of what was saved", about, table=_performance(report.performance))


def _evaluated(task: str, result: Mapping[str, Any]) -> Section:
    groups = result["groups"]
    columns = list(dict.fromkeys(name for row in groups.values() for name in row))
    main = find_measure(task).main or next((c for c in reversed(columns) if c not in COUNTS), "")
    several = {
        f"({name})": row for name, row in (("all", result.get("micro")), ("mean", result.get("macro"))) if row
    }
    rows = {**groups, **several}
    bars = list(_bars({group: row.get(main) or 0.0 for group, row in rows.items()}, main))
    cells = [[(name, ""), *((shown(c, row.get(c)), "") for c in columns)] for name, row in rows.items()]
    title = f"{find_measure(task).title} by language"
    return Section(title, f"Bars: {main.replace('_', ' ')}", bars, Table(["", *_spaced(columns)], cells))


def _bars(values: Mapping[str, float], name: str) -> Iterator[Bar]:
    # Bits have no highest value; all other scores are shares.
    top = max(values.values(), default=0.0) if name == "bits_per_byte" else 1.0
    for group, value in values.items():
        yield Bar(group, shown(name, value), f"{100 * value / (top or 1.0):.2f}%")


def _performance(performance: Mapping[str, Mapping[str, Any]]) -> Table:
    """RETURNS (Table): A row for each score of all Docs, and for each label of those by type."""
    columns = list(performance)
    names = dict.fromkeys(name for scores in performance.values() for name in _flat(scores))
    rows = []
    for name in names:
        values = [_flat(scores).get(name) for scores in performance.values()]
        cells = [("-" if value is None else f"{100 * value:.1f}", "") for value in values]
        rows.append([(name, ""), *cells])
    return Table(["", *columns], rows)


def _flat(scores: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in scores.items():
        if name.endswith("loss") or name == "speed":  # no share
            continue
        if isinstance(value, (int, float)):
            found[name.replace("_", " ")] = float(value)
        elif isinstance(value, dict):
            for label, own in value.items():
                if isinstance(own, dict) and isinstance(own.get("f"), (int, float)):
                    found[f"{name.replace('_', ' ')}: {label} (f)"] = float(own["f"])
    return found


def _spaced(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]
