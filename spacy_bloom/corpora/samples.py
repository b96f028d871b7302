"""What is read from annotated files: Docs, and what is known of each."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Hashable, Optional, Tuple

from spacy.tokens import Doc

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Sample:
    """An annotated Doc.

    doc (Doc): Its `user_data["lang"]` is the name of its data set, unless the file says something else.
    name (str): Name of its data set; often a language.
    split (str | None): "train", "dev" or "test"; None if the file does not say.
    counts (Counter): What happened to its annotation.
    keys (tuple[Hashable, ...]): Samples that share a key belong into one split.
    place (tuple): Its place in its data set, comparable within it.
    """

    doc: Doc
    name: str
    split: Optional[str]
    counts: Counter = field(default_factory=Counter)
    keys: Tuple[Hashable, ...] = ()
    place: Tuple[Any, ...] = ()
