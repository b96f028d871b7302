"""`python -m spacy bloom debug-pieces`: how texts are cut into pieces, beside spaCy's tokens and the model's windows."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy.cli._util import Arg, Opt
from wasabi import color, msg, table

from ..errors import InputError
from .failures import check_file
from .info import Align
from .pages.piece_page import format_figure, render_pieces
from .pieces.counts import Counts, find_warnings
from .pieces.cutter import DEFAULT_WINDOWS, Cutter, find_cutter
from .pieces.view import CutText, table_rows, window_lines

TOTAL = "(all)"  # unlikely as a file's name
# Columns by their names in `Counts.summary`; two tables, because one would be too wide for a terminal.
TABLES = (
    {
        "texts": "TEXTS",
        "empty_texts": "EMPTY",
        "characters": "CHARACTERS",
        "bytes": "BYTES",
        "tokens": "TOKENS",
        "pieces": "PIECES",
        "texts_longer_than_a_window": "LONG TEXTS",
        "windows": "WINDOWS",
    },
    {
        "bytes_per_piece": "BYTES/PIECE",
        "pieces_per_token": "PIECES/TOKEN",
        "pieces_per_token_95": "95%",
        "byte_pieces_share": "BYTE PIECES",
        "pieces_per_text_median": "PIECES/TEXT: MEDIAN",
        "pieces_per_text_95": "95%",
        "pieces_per_text_max": "MAX",
    },
)


def debug_pieces_cli(
    source: str = Arg("tiny-bloom", help="Checkpoint (bundled name, directory, Hub name) or trained pipeline (directory, package, bundled name)"),
    texts: Optional[List[str]] = Arg(None, help="Texts to show piece by piece"),
    corpus: Optional[Path] = Opt(None, "--corpus", "-c", help='Corpus to count: .txt (one text per line), .jsonl (with "text"), .spacy, or a folder of these; grouped by file, or by doc.user_data["lang"]'),
    lang: Optional[str] = Opt(None, "--lang", "-l", help="Language of the texts, with a checkpoint, for spaCy's tokens: a code, several separated by commas, or xx for any mixture [default: xx]"),
    window: Optional[int] = Opt(None, "--window", "-w", help=f"Maximum number of pieces that the model sees at once [default: the pipeline's, or {DEFAULT_WINDOWS.window}]"),
    context: Optional[int] = Opt(None, "--context", "-x", help=f"Pieces that a window shares with the one before it [default: the pipeline's, or {DEFAULT_WINDOWS.context}]"),
    html: Optional[Path] = Opt(None, "--html", "-H", help="Write a page with the texts, or with the first ones of the corpus", dir_okay=False),
    json_path: Optional[Path] = Opt(None, "--json", "-j", help="Write JSON; - for stdout, which then gets nothing else", allow_dash=True),
) -> None:  # fmt: skip
    """
    Show how texts are cut into pieces: the pieces of each spaCy token, tokens
    that share a piece or have none of their own, characters that are cut into
    bytes, and the windows of long texts. With --corpus, count them by language
    and warn about what needs attention. No weights are read.
    """
    is_stdout = str(json_path) == "-"
    if not texts and corpus is None:
        raise InputError("There is nothing to cut: give texts after the checkpoint's name, or --corpus.")
    cutter = find_cutter(source, lang, window, context)
    check_file(html)
    check_file(json_path)
    found = examine(cutter, texts or [], corpus, silent=is_stdout)
    if not is_stdout:
        found.show()
    if html is not None:
        html.write_text(found.to_html(), encoding="utf8")
        if not is_stdout:
            msg.good("Page written", html.resolve())
    if is_stdout:
        print(found.to_json())
    elif json_path is not None:
        json_path.write_text(found.to_json() + "\n", encoding="utf8")
        msg.good("JSON written", json_path.resolve())


@dataclass(frozen=True)
class Findings:
    """What was found.

    cutter (Cutter): What cut the texts.
    texts (list[CutText]): The texts that were given one by one.
    groups (dict[str, Counts]): Counts of a corpus by group.
    samples (dict[str, list[CutText]]): The first texts of each group.
    """

    cutter: Cutter
    texts: List[CutText]
    groups: Dict[str, Counts] = field(default_factory=dict)
    samples: Dict[str, List[CutText]] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """RETURNS (Counts): All groups together."""
        return sum(self.groups.values(), start=Counts())

    @property
    def counts(self) -> Dict[str, Counts]:
        """RETURNS (dict[str, Counts]): The groups, and their total if there are several."""
        return {**self.groups, **({TOTAL: self.total} if len(self.groups) > 1 else {})}

    @property
    def warnings(self) -> List[str]:
        """RETURNS (list[str]): What needs attention."""
        window = self.cutter.windows.window
        return [line for name, group in self.groups.items() for line in find_warnings(name, group, window)]

    def show(self) -> None:
        """Print texts, tables and warnings."""
        for number, text in enumerate(self.texts, start=1):
            print_text(f"Text {number}", text)
        if self.groups:
            print_counts(self.counts)
        for warning in self.warnings:
            msg.warn(warning)

    def to_html(self) -> str:
        """RETURNS (str): A page."""
        shown = {f"Text {number}": [text] for number, text in enumerate(self.texts, start=1)}
        return render_pieces(
            self.cutter.about, {**shown, **self.samples}, counts=self.counts, warnings=self.warnings
        )

    def to_json(self) -> str:
        """RETURNS (str): All of it as JSON."""
        windows = self.cutter.windows
        found: Dict[str, Any] = {
            "source": self.cutter.source,
            "window": windows.window,
            "context": windows.context,
        }
        if self.texts:
            found["texts"] = [text.to_json() for text in self.texts]
        if self.groups:
            found["groups"] = {name: counts.summary() for name, counts in self.groups.items()}
            found["total"] = self.total.summary()
            found["warnings"] = self.warnings
        return json.dumps(found, indent=2, ensure_ascii=False)


def examine(cutter: Cutter, texts: List[str], corpus: Optional[Path], *, silent: bool = False) -> Findings:
    """RETURNS (Findings): Texts, cut, and a corpus, counted under a progress bar unless `silent`."""
    cut = cutter.cut(texts)
    if corpus is None:
        return Findings(cutter, cut)
    counter, samples = cutter.count(corpus, silent=silent)
    return Findings(cutter, cut, counter.groups, {name: cutter.cut(texts) for name, texts in samples.items()})


def print_text(heading: str, cut: CutText) -> None:
    """Print a text's tokens with their pieces, and its windows."""
    figures = f"{len(cut.doc.text):,} characters, {len(cut.doc):,} tokens, {len(cut):,} pieces"
    print(f"\n{color(heading, bold=True)}  {figures}")
    rows = table_rows(cut)
    if rows:
        print(table(rows, header=("#", "TOKEN", "PIECES", ""), divider=True, aligns=("r", "l", "l", "l")))
    for line in window_lines(cut):
        print(line)


def print_counts(counts: Dict[str, Counts]) -> None:
    """Print two tables with a row for each group."""
    summaries = {name: group.summary() for name, group in counts.items()}
    for columns in TABLES:
        rows = [
            (group, *(format_figure(name, summary[name]) for name in columns))
            for group, summary in summaries.items()
        ]
        aligns: List[Align] = ["r"] * (1 + len(columns))
        aligns[0] = "l"
        print(table(rows, header=("", *columns.values()), divider=True, aligns=aligns))
