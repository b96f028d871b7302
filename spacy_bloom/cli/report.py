"""`python -m spacy bloom report`: a training's curves and scores on one page."""

from pathlib import Path
from typing import Optional

from spacy.cli._util import Arg, Opt
from wasabi import msg

from ..errors import InputError
from .failures import check_file
from .pages.report_page import Report, render_report
from .reporting.saved_scores import read_evaluation, read_performance
from .reporting.training_logs import find_log, read_log


def report_cli(
    training: Path = Arg(..., help="Folder that spacy train or train-lm has written to", exists=True, file_okay=False),
    log: Optional[Path] = Opt(None, "--log", "-l", help="Rows of a logger with output_file, or of train-lm [default: the .jsonl in the folder]", exists=True, dir_okay=False),
    scores: Optional[Path] = Opt(None, "--scores", "-s", help="Scores by language, as evaluate --json writes them", exists=True, dir_okay=False),
    output: Path = Opt(Path("report.html"), "--output", "-o", help="Where to write the page", dir_okay=False),
) -> None:  # fmt: skip
    """
    Draw the curves of a training, of a pipeline or a language model, and its
    scores by language on one page that needs nothing else. spacy-bloom's
    logger writes curves with --training.logger.output_file training/log.jsonl
    """
    check_file(output)
    found = log or find_log(training)
    report = Report(
        training.resolve().name,
        read_log(found) if found else None,
        read_performance(training),
        read_evaluation(scores) if scores else {},
    )
    if not (report.log or report.performance or report.evaluation):
        raise InputError(
            f"Expected {training} to be the folder of a training, with a log as .jsonl or with model-best; got neither."
        )
    output.write_text(render_report(report), encoding="utf8")
    msg.good("Page written", output.resolve())
