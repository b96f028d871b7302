"""The tokenizers and windows of a checkpoint or a pipeline, applied to texts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import load_config
from thinc.api import ConfigValidationError, Model
from tqdm import tqdm

from ...errors import InputError
from ...thinc_layers.pieces.windows import WindowSettings
from ...thinc_layers.weights.checkpoint_shim import CheckpointShim
from ...tokenizer import BloomTokenizerFast
from ..inputs import find_language, find_pipeline, load_pipeline, read_named_texts
from .counts import PieceCounter
from .view import CutText, cut_texts

DEFAULT_WINDOWS = WindowSettings(512, 128)  # as in spacy-bloom.TransformerModel.v2
CONFIG_SUFFIX = ".cfg"
MAX_SAMPLES = 3  # texts of each group of a corpus


@dataclass(frozen=True)
class Cutter:
    """Cuts texts into tokens, pieces and windows.

    source (str): The checkpoint or pipeline.
    nlp (Language): Makes the tokens.
    tokenizer (BloomTokenizerFast): Makes the pieces.
    windows (WindowSettings): How long texts are cut.
    """

    source: str
    nlp: Language
    tokenizer: BloomTokenizerFast
    windows: WindowSettings

    @property
    def about(self) -> str:
        """RETURNS (str): A description in one line."""
        windows = self.windows
        return (
            f"{self.source}: {len(self.tokenizer):,} pieces; tokens of {type(self.nlp.tokenizer).__name__} "
            f"({self.nlp.lang}); windows of {windows.window} pieces with {windows.context} of context "
            + ("on both sides" if windows.both_sides else "before")
        )

    def cut(self, texts: Iterable[str]) -> list[CutText]:
        """RETURNS (list[CutText]): The texts with their tokens, pieces and windows.
        RAISES (InputError): A text contains half of a surrogate pair.
        """
        try:
            docs = [self.nlp.tokenizer(text) for text in texts]
        except UnicodeEncodeError as error:
            raise InputError(f"Expected texts of whole Unicode characters: {error}.") from None
        return cut_texts(self.tokenizer, docs, self.windows)

    def count(self, corpus: Path, *, silent: bool = False) -> tuple[PieceCounter, dict[str, list[str]]]:
        """Count a corpus under a progress bar.

        RETURNS (tuple[PieceCounter, dict[str, list[str]]]): The counts, and the first texts of each group that are not
            blank.
        """
        counter = PieceCounter(self.nlp, self.tokenizer, self.windows)
        samples: dict[str, list[str]] = {}
        texts = _sampled(read_named_texts(corpus), samples)
        with tqdm(texts, unit=" texts", disable=True if silent else None, leave=False) as bar:
            counter.count(bar)
        return counter, samples


def find_cutter(
    source: str, lang: str | None = None, window: int | None = None, context: int | None = None
) -> Cutter:
    """source (str): Checkpoint, trained pipeline or training config.
    lang (str | None): As for `find_language`, for a checkpoint; a pipeline has its own tokenizer.
    window, context (int | None): None takes the pipeline's settings, or the transformer's defaults.
    RETURNS (Cutter): Cuts texts as the checkpoint or pipeline does.
    RAISES (BloomError): There is no such checkpoint, the pipeline has no BLOOM, or options contradict each other.
    """
    found = DEFAULT_WINDOWS
    if source.endswith(CONFIG_SUFFIX) and Path(source).is_file():
        if lang is not None:
            raise InputError(f"{source} is a config with its own language: leave --lang out.")
        nlp, checkpoint, found = _read_config(Path(source))
        tokenizer = BloomTokenizerFast.from_pretrained(checkpoint)
    elif find_pipeline(source) is not None:
        if lang is not None:
            raise InputError(f"{source} is a pipeline with its own tokenizer: leave --lang out.")
        nlp = load_pipeline(source)
        shim, own = find_bloom(nlp)
        found = own or found
        tokenizer = shim.tokenizer
    else:
        code, spacy_tokenizer = find_language(lang or "xx")
        config = {"nlp": {"tokenizer": spacy_tokenizer}} if spacy_tokenizer else {}
        nlp = spacy.blank(code, config=config)
        tokenizer = BloomTokenizerFast.from_pretrained(source)
    if context is None:  # in proportion, where the window that was asked for is too narrow for it
        context = found.context if window is None else min(found.context, window // 4)
    window = found.window if window is None else window
    return Cutter(source, nlp, tokenizer, WindowSettings(window, context, found.both_sides))


def _read_config(path: Path) -> tuple[Language, str, WindowSettings]:
    """RETURNS (tuple[Language, str, WindowSettings]): The tokenizer of a training config, and the checkpoint and windows of
        its first BLOOM. Nothing is built of the components.
    RAISES (InputError): It is not a config of a pipeline with BLOOM.
    """
    try:
        config = load_config(path, interpolate=True)
        components = [config["components"][name] for name in config["nlp"]["pipeline"]]
        model = next(c["model"] for c in components if {"name", "window"} <= c.get("model", {}).keys())
        windows = WindowSettings(
            model["window"], model["context"], both_sides=model.get("attention") == "bidirectional"
        )
        own = {"tokenizer": config["nlp"]["tokenizer"]} if "tokenizer" in config["nlp"] else {}
        nlp = spacy.blank(config["nlp"]["lang"], config={"nlp": own} if own else {})
    except (KeyError, StopIteration, ConfigValidationError, ValueError) as error:
        raise InputError(
            f"Expected {path} to be a training config with a BLOOM component, as init-config writes it: {error!r}."
        ) from None
    return nlp, str(model["name"]), windows


def find_bloom(nlp: Language) -> tuple[CheckpointShim, WindowSettings | None]:
    """RETURNS (tuple[CheckpointShim, WindowSettings | None]): A pipeline's first BLOOM, and the windows of its component, if
        it has any.
    RAISES (InputError): The pipeline has no BLOOM.
    """
    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        nodes = list(model.walk()) if isinstance(model, Model) else []
        for shim in chain.from_iterable(node.shims for node in nodes):
            if isinstance(shim, CheckpointShim):
                return shim, next((n.attrs["windows"] for n in nodes if "windows" in n.attrs), None)
    got = ", ".join(nlp.component_names) or "no components"
    raise InputError(f"Expected a pipeline with a BLOOM component, got {got}.")


def _sampled(texts: Iterable[tuple[str, str]], samples: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for group, text in texts:
        kept = samples.setdefault(group, [])
        if len(kept) < MAX_SAMPLES and text.strip():
            kept.append(text)
        yield group, text
