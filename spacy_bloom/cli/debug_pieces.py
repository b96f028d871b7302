"""`python -m spacy bloom debug-pieces`: how texts are cut into pieces, beside spaCy's tokens and the model's windows."""

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import spacy
from spacy.cli._util import Arg, Opt
from spacy.language import Language
from spacy.util import is_package
from thinc.api import Model
from tqdm import tqdm
from wasabi import color, msg, table

from ..checkpoint.sources import BUNDLED_PIPELINES
from ..errors import InputError
from ..pretrained import BloomTokenizerFast as PretrainedTokenizer
from ..thinc_layers.pieces.windows import WindowSettings, check_windows
from ..thinc_layers.weights.shim import BloomShim
from ..tokenizer import BloomTokenizerFast
from .failures import check_file
from .info import Align
from .inputs.languages import find_language
from .inputs.pipelines import load_pipeline
from .inputs.texts import read_named_texts
from .pages.piece_page import format_figure, render_pieces
from .pieces.counts import Counts, PieceCounter, find_warnings
from .pieces.view import CutText, cut_texts, table_rows, window_lines

WINDOW, CONTEXT = 512, 128  # defaults of spacy-bloom.TransformerModel.v1
SHOWN = 3  # texts of each group of a corpus, on the page
TOTAL = "(all)"  # which is no name of a file that people choose
# Of a corpus, by their names in `Counts.summary`; narrow enough for a terminal.
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
    # fmt: off
    source: str = Arg(
        "tiny-bloom",
        help="Checkpoint (bundled name, directory, Hub name) or trained pipeline (directory, package, bundled name)",
    ),
    texts: Optional[List[str]] = Arg(None, help="Texts to show piece by piece"),
    corpus: Optional[Path] = Opt(
        None,
        "--corpus",
        "-c",
        help='Count a corpus: .txt (a text a line), .jsonl (with "text"), .spacy, or a folder of these; each file, or doc.user_data["lang"], is a group',
    ),
    lang: Optional[str] = Opt(
        None,
        "--lang",
        "-l",
        help="Language of a checkpoint's texts, for spaCy's tokens: a code, several with commas, or xx for any mixture [default: xx]",
    ),
    window: Optional[int] = Opt(
        None,
        "--window",
        "-w",
        help=f"Most pieces that the model sees at once [default: the pipeline's, or {WINDOW}]",
    ),
    context: Optional[int] = Opt(
        None,
        "--context",
        "-x",
        help=f"Pieces that a window shares with the one before it [default: the pipeline's, or {CONTEXT}]",
    ),
    html: Optional[Path] = Opt(
        None,
        "--html",
        "-H",
        help="Write a page with the texts, or with the first ones of a corpus",
        dir_okay=False,
    ),
    json_path: Optional[Path] = Opt(
        None,
        "--json",
        "-j",
        help="Write JSON; - for stdout, and nothing else is printed then",
        allow_dash=True,
    ),
    # fmt: on
) -> None:
    """
    Show how texts are cut into pieces: the pieces of each of spaCy's tokens,
    tokens that share a piece or have none of their own, characters that are
    cut into bytes, and the windows of long texts. With --corpus, count it by
    language, and warn of what needs attention. Weights are not needed.
    """
    is_stdout = str(json_path) == "-"
    if not texts and corpus is None:
        raise InputError("There is nothing to cut: give texts after the checkpoint's name, or --corpus.")
    cutter = find_cutter(source, lang, window, context)
    check_file(html)
    check_file(json_path)
    cut = cutter.cut(texts or [])
    counter, samples = (None, {}) if corpus is None else cutter.count(corpus, silent=is_stdout)
    groups = {} if counter is None else counter.groups
    counts = {**groups, **({} if counter is None or len(groups) == 1 else {TOTAL: counter.total})}
    warnings = [line for name, group in groups.items() for line in find_warnings(name, group, cutter.window)]
    if not is_stdout:
        for number, text in enumerate(cut, start=1):
            print_text(f"Text {number}", text)
        if counter is not None:
            print_counts(counts)
        for warning in warnings:
            msg.warn(warning)
    if html is not None:
        shown = {f"Text {number}": [text] for number, text in enumerate(cut, start=1)}
        shown.update((group, cutter.cut(sampled)) for group, sampled in samples.items())
        html.write_text(render_pieces(cutter.about, shown, counts=counts, warnings=warnings), "utf8")
        if not is_stdout:
            msg.good("Page written", html.resolve())
    if json_path is not None:
        found = cutter.to_json(cut, groups, warnings)
        if is_stdout:
            print(found)
        else:
            json_path.write_text(found + "\n", encoding="utf8")
            msg.good("JSON written", json_path.resolve())


@dataclass(frozen=True)
class Cutter:
    """What cuts texts.

    source (str): The checkpoint or pipeline.
    nlp (Language): Makes the tokens.
    tokenizer (BloomTokenizerFast): Makes the pieces.
    window, context (int), both_sides (bool): As for `cut_windows`.
    """

    source: str
    nlp: Language
    tokenizer: BloomTokenizerFast
    window: int
    context: int
    both_sides: bool = False

    @property
    def about(self) -> str:
        """RETURNS (str): All of it, for people."""
        made_by = type(self.nlp.tokenizer).__name__
        return (
            f"{self.source}: {len(self.tokenizer):,} pieces; tokens of {made_by} ({self.nlp.lang}); windows of "
            f"{self.window} pieces with {self.context} of context "
            + ("on both sides" if self.both_sides else "before")
        )

    def cut(self, texts: Iterable[str]) -> List[CutText]:
        """RETURNS (list[CutText]): Texts as they are cut.
        RAISES (InputError): A text has half of a surrogate pair.
        """
        texts = list(texts)
        try:
            docs = [self.nlp.tokenizer(text) for text in texts]
        except UnicodeEncodeError as error:
            raise InputError(f"Expected texts of whole Unicode characters: {error}.") from None
        return cut_texts(
            self.tokenizer, docs, window=self.window, context=self.context, both_sides=self.both_sides
        )

    def count(self, corpus: Path, *, silent: bool = False) -> Tuple[PieceCounter, Dict[str, List[str]]]:
        """Count a corpus under a progress bar.

        RETURNS (tuple[PieceCounter, dict[str, list[str]]]): What has been counted, and the first texts of each group
            that are not empty.
        """
        counter = PieceCounter(
            self.nlp, self.tokenizer, window=self.window, context=self.context, both_sides=self.both_sides
        )
        samples: Dict[str, List[str]] = {}
        texts = _sampled(read_named_texts(corpus), samples)
        with tqdm(texts, unit=" texts", disable=True if silent else None, leave=False) as bar:
            counter.count(bar)
        return counter, samples

    def to_json(self, cut: List[CutText], groups: Dict[str, Counts], warnings: List[str]) -> str:
        """RETURNS (str): Everything that was found."""
        found: Dict[str, Any] = {"source": self.source, "window": self.window, "context": self.context}
        if cut:
            found["texts"] = [text.to_json() for text in cut]
        if groups:
            found["groups"] = {name: counts.summary() for name, counts in groups.items()}
            found["total"] = sum(groups.values(), start=Counts()).summary()
            found["warnings"] = warnings
        return json.dumps(found, indent=2, ensure_ascii=False)


def find_cutter(
    source: str, lang: Optional[str] = None, window: Optional[int] = None, context: Optional[int] = None
) -> Cutter:
    """source (str): Checkpoint or trained pipeline.
    lang (str | None): As for `find_language`, with a checkpoint; a pipeline has a tokenizer of its own.
    window, context (int | None): None takes the pipeline's, or the transformer's defaults.
    RETURNS (Cutter): What cuts texts as that does.
    RAISES (BloomError): No such checkpoint, a pipeline without BLOOM, or options that do not fit together.
    """
    found = WindowSettings(WINDOW, CONTEXT)
    if source in BUNDLED_PIPELINES or (Path(source) / "config.cfg").is_file() or is_package(source):
        if lang is not None:
            raise InputError(f"{source} is a pipeline with a tokenizer of its own: leave --lang out.")
        nlp = load_pipeline(source)
        shim, own = find_bloom(nlp)
        found = own or found
        tokenizer: BloomTokenizerFast = shim.tokenizer
    else:
        code, spacy_tokenizer = find_language(lang or "xx")
        config = {"nlp": {"tokenizer": spacy_tokenizer}} if spacy_tokenizer else {}
        nlp = spacy.blank(code, config=config)
        tokenizer = PretrainedTokenizer.from_pretrained(source)
    if context is None:  # in proportion, where only a window was asked for that is too narrow for it
        context = found.context if window is None else min(found.context, window // 4)
    window = found.window if window is None else window
    check_windows(window, context, both_sides=found.both_sides)
    return Cutter(source, nlp, tokenizer, window, context, found.both_sides)


def find_bloom(nlp: Language) -> Tuple[BloomShim, Optional[WindowSettings]]:
    """RETURNS (tuple[BloomShim, WindowSettings | None]): The first BLOOM of a pipeline, and the windows of its
        component, if it reads any.
    RAISES (InputError): It has none.
    """
    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        nodes = list(model.walk()) if isinstance(model, Model) else []
        for shim in chain.from_iterable(node.shims for node in nodes):
            if isinstance(shim, BloomShim):
                return shim, next((n.attrs["windows"] for n in nodes if "windows" in n.attrs), None)
    raise InputError(
        f"Expected a pipeline with a BLOOM, got one of {', '.join(nlp.component_names) or 'nothing'}."
    )


def _sampled(texts: Iterable[Tuple[str, str]], samples: Dict[str, List[str]]) -> Iterator[Tuple[str, str]]:
    for group, text in texts:
        kept = samples.setdefault(group, [])
        if len(kept) < SHOWN and text.strip():
            kept.append(text)
        yield group, text


def print_text(heading: str, cut: CutText) -> None:
    """Print tokens with their pieces, and windows."""
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
