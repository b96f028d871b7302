"""How right an answer is: exact match and F1, as for SQuAD, in any script."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")

METRICS = ("em", "f1", "char_f1")


def answer_scores(predicted: str, gold: Sequence[str]) -> dict[str, float]:
    """Compare an answer with all right ones; the best counts.

    predicted (str): The answer; "" if there is none.
    gold (Sequence[str]): Right answers; none if the question has no answer.
    RETURNS (dict[str, float]): "em" and "f1" (on words) and "char_f1", from 0 to 1.
    SOURCE: The evaluation script of SQuAD 2.0. Punctuation is Unicode's, not only ASCII's; characters serve
        scripts that put no space between words.
    """
    answer = normalize(predicted)
    right = [normalize(text) for text in gold] or [""]
    return {
        "em": float(answer in right),
        "f1": max(overlap(answer.split(), text.split()) for text in right),
        "char_f1": max(overlap(_characters(answer), _characters(text)) for text in right),
    }


def normalize(text: str) -> str:
    """RETURNS (str): The text in lower case without punctuation and English articles, with single spaces."""
    kept = "".join(character for character in text.lower() if not _is_punctuation(character))
    return " ".join(ARTICLES.sub(" ", kept).split())


def overlap(one: Sequence[Hashable], two: Sequence[Hashable]) -> float:
    """RETURNS (float): F1 of what two texts have in common; of two empty ones 1."""
    if not one or not two:
        return float(not one and not two)
    return 2 * (Counter(one) & Counter(two)).total() / (len(one) + len(two))


def mean_scores(pairs: Iterable[tuple[str, Sequence[str]]]) -> dict[str, float | None]:
    """RETURNS (dict[str, float | None]): Means of `answer_scores` over answers and their right ones; None without
    any.
    """
    scores = [answer_scores(predicted, gold) for predicted, gold in pairs]
    return {
        metric: sum(each[metric] for each in scores) / len(scores) if scores else None for metric in METRICS
    }


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _characters(text: str) -> str:
    return text.replace(" ", "")
