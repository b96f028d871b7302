"""Scores of doc.cats, where several components may write to it."""

from collections.abc import Iterable
from typing import Any

from spacy.scorer import Scorer
from spacy.training import Example

# What spaCy's scorer gives beside cats_score, none of which decides anything.
NO_WEIGHTS = dict.fromkeys(
    (
        "cats_score_desc",
        "cats_micro_p",
        "cats_micro_r",
        "cats_micro_f",
        "cats_macro_p",
        "cats_macro_r",
        "cats_macro_f",
        "cats_macro_auc",
        "cats_f_per_type",
    )
)


def score_own_cats(examples: Iterable[Example], *, labels: Iterable[str], **options: Any) -> dict[str, Any]:
    """spaCy's scores of doc.cats, of the Docs that have gold annotation for a component's labels.

    labels (Iterable[str]): The component's.
    **options: As for `Scorer.score_cats`.
    RETURNS (dict[str, Any]): cats_score and its kin: macro F, or F of the positive label, for exclusive labels; macro
        AUC for others.
    """
    own = list(labels)
    annotated = [eg for eg in examples if not eg.reference.cats.keys().isdisjoint(own)]
    return Scorer.score_cats(annotated, "cats", labels=own, **options)
