"""`python -m spacy bloom debug-data`: what training data has, and what BLOOM will see of it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import color, msg, table

from ..corpora.doc_files import open_docs
from ..corpora.samples import SPLITS
from ..errors import InputError
from .annotation.counts import Counts, count_docs
from .annotation.warnings import find_warnings
from .debug_pieces import print_counts
from .failures import check_file
from .info import Align
from .pieces.counts import Counts as PieceCounts
from .pieces.counts import PieceCounter
from .pieces.counts import find_warnings as find_piece_warnings
from .pieces.cutter import Cutter, find_cutter

MAX_LABELS = 30
SPAN_COLUMNS = ("spans", "overlapping", "misaligned", "cut")


def debug_data_cli(
    source: str = Arg(..., help="What will learn: a checkpoint, a trained pipeline, or a training config (.cfg)"),
    corpus: List[Path] = Arg(..., help="Folder as convert-data writes it, or .spacy files: the first is learned from", exists=True),
    lang: Optional[str] = Opt(None, "--lang", "-l", help="Language of the texts, with a checkpoint [default: xx]"),
    window: Optional[int] = Opt(None, "--window", "-w", help="Pieces that the model sees at once [default: the pipeline's, or 512]"),
    context: Optional[int] = Opt(None, "--context", "-x", help="Pieces that a window shares with the one before it [default: the pipeline's, or 128]"),
    json_path: Optional[Path] = Opt(None, "--json", "-j", help="Write JSON; - for stdout, which then gets nothing else", allow_dash=True),
) -> None:  # fmt: skip
    """
    Count labels, overlaps, spans that the pipeline's tokens do not fit, pieces
    per token, what falls to bytes, and what windows cut; warn about what needs
    attention. Complements spaCy's debug data. No weights are read.
    """
    is_stdout = str(json_path) == "-"
    check_file(json_path)
    cutter = find_cutter(source, lang, window, context)
    splits: Dict[str, Counts] = {}
    pieces: Dict[str, PieceCounts] = {}
    for name, path in find_splits(corpus).items():
        docs = list(read_docs(path))
        splits[name] = count_docs(_shown(docs, name, is_stdout), cutter.nlp, cutter.tokenizer, cutter.windows)
        counter = PieceCounter(cutter.nlp, cutter.tokenizer, cutter.windows)
        counter.count((name, doc.text) for doc in docs)
        pieces.update(counter.groups)
    warnings = list(find_warnings(splits, cutter.windows.window))
    for name, counts in pieces.items():
        # What is blank is in the other warnings.
        warnings += [
            line
            for line in find_piece_warnings(name, counts, cutter.windows.window)
            if "are empty" not in line
        ]
    if not is_stdout:
        show(cutter, splits, pieces, warnings)
    if json_path is not None:
        _write(json_path, cutter, splits, pieces, warnings)


def find_splits(paths: Sequence[Path]) -> Dict[str, Path]:
    """RETURNS (dict[str, Path]): Files by the name of the split, the one to learn from first.
    RAISES (InputError): A folder has none.
    """
    found: Dict[str, Path] = {}
    for path in paths:
        files = [path]
        if path.is_dir():
            files = [path / f"{split}.spacy" for split in SPLITS if (path / f"{split}.spacy").is_file()]
            files = files or sorted(path.glob("*.spacy"))
        if not files:
            raise InputError(f"{path} holds no .spacy file; `convert-data` and `spacy convert` write them.")
        for file in files:
            found[file.stem if file.stem not in found else str(file)] = file
    return found


def read_docs(path: Path) -> Iterator[Doc]:
    """YIELDS (Doc): The Docs of a file. RAISES (InputError): It is no file of Docs, or has none."""
    docs = open_docs(path)
    if not len(docs):
        raise InputError(f"{path} has no Docs. Check that it was written completely.")
    yield from docs.get_docs(Vocab())


def _shown(docs: List[Doc], name: str, silent: bool) -> "tqdm[Doc]":
    return tqdm(docs, desc=name, unit=" docs", disable=True if silent else None, leave=False)


def show(
    cutter: Cutter, splits: Dict[str, Counts], pieces: Dict[str, PieceCounts], warnings: List[str]
) -> None:
    """Print tables and warnings."""
    print(cutter.about)
    rows = [(name, f"{c.docs:,}", f"{c.blank:,}", f"{c.repeated:,}") for name, c in splits.items()]
    _print_table(("", "DOCS", "BLANK", "REPEATED"), rows)
    spans = [
        (name, layer, *(f"{getattr(counts, column)[layer]:,}" for column in SPAN_COLUMNS))
        for name, counts in splits.items()
        for layer in counts.spans
    ]
    if spans:
        print(f"\n{color('Spans', bold=True)}")
        _print_table(("", "", *map(str.upper, SPAN_COLUMNS)), spans)
    for layer in dict.fromkeys(layer for counts in splits.values() for layer in counts.labels):
        _print_labels(layer, splits)
    print(f"\n{color('Pieces', bold=True)}")
    print_counts(pieces)
    for warning in warnings:
        msg.warn(warning)
    if not warnings:
        msg.good("Nothing needs attention")


def _print_labels(layer: str, splits: Dict[str, Counts]) -> None:
    totals = sum((counts.labels.get(layer, Counter()) for counts in splits.values()), start=Counter())
    print(f"\n{color(f'Labels of {layer}', bold=True)}")
    labels = sorted(totals, key=lambda label: -totals[label])
    rows = [
        (
            label or "(none)",
            *(f"{counts.labels.get(layer, {}).get(label, 0):,}" for counts in splits.values()),
        )
        for label in labels[:MAX_LABELS]
    ]
    _print_table(("", *(name.upper() for name in splits)), rows)
    if len(labels) > MAX_LABELS:
        print(f"and {len(labels) - MAX_LABELS:,} more; --json has them all")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = sum(not name for name in header)
    aligns: List[Align] = ["l" if i < text else "r" for i in range(len(header))]
    print(table(rows, header=header, divider=True, aligns=aligns))


def _write(
    path: Path, cutter: Cutter, splits: Dict[str, Counts], pieces: Dict[str, PieceCounts], warnings: List[str]
) -> None:
    found: Dict[str, Any] = {
        "source": cutter.source,
        "window": cutter.windows.window,
        "context": cutter.windows.context,
        "splits": {
            name: {**counts.to_json(), "pieces": pieces[name].summary()} for name, counts in splits.items()
        },
        "warnings": warnings,
    }
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if str(path) == "-":
        print(text)
    else:
        path.write_text(text + "\n", encoding="utf8")
        msg.good("JSON written", path.resolve())
