"""How good what a page shows is, in words, so that nobody takes a small model for a large one."""

from collections.abc import Mapping
from typing import Any

from ...config import BloomConfig

# Scores in a pipeline's meta.json, and how a page calls them.
SCORES = {
    "ents_f": "F of entities",
    "spans_sc_f": "F of spans",
    "cats_micro_f": "micro F of categories",
    "tag_acc": "of tags right",
    "pos_acc": "of parts of speech right",
    "dep_las": "LAS of syntax",
    "qa_em": "of answers right",
    "qa_f1": "F of words in answers",
}


def quality_of(meta: Mapping[str, Any]) -> str:
    """meta (Mapping[str, Any]): nlp.meta; `spacy train` writes the scores on the development data there.
    RETURNS (str): The scores in percent; empty if there are none.
    """
    performance = meta.get("performance") or {}
    known = {said: performance.get(name) for name, said in SCORES.items()}
    scores = [f"{value:.0%} {said}" for said, value in known.items() if isinstance(value, (int, float))]
    return f"{', '.join(scores)} on development data" if scores else ""


def size_of(config: BloomConfig) -> str:
    """RETURNS (str): The number of parameters, beside those of the published sizes."""
    h, n_layer = config.hidden_size, config.n_layer
    count = config.vocab_size * h + n_layer * (12 * h * h + 13 * h) + 4 * h
    return f"{readable_count(count)} parameters; published BLOOM has 559 million to 176 billion"


def readable_count(count: int) -> str:
    """RETURNS (str): As "5 million" or "1.7 billion"."""
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= unit:
            shown = count / unit
            return f"{shown:.1f} {name}" if shown < 10 and round(shown, 1) % 1 else f"{shown:.0f} {name}"
    return str(count)
