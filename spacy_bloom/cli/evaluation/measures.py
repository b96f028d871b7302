"""What is measured of each kind of annotation."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.pipeline.dep_parser import parser_score
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import InputError
from ...pipeline.answering.answer_scores import mean_scores
from ...pipeline.answering.answers import get_answers

Row = Dict[str, Any]
COUNTS = ("docs", "bytes", "tokens", "gold", "predicted", "right")
SPANS = "spans."  # before the key of a group of spans


@dataclass(frozen=True)
class Measure:
    """How a kind of annotation is measured.

    title (str): What it is called on a page.
    main (str): The score that is drawn.
    score (Callable): Takes pairs of predicted and gold Docs; returns counts and scores from 0 to 1.
    is_annotated (Callable): Whether a Doc has such annotation.
    """

    title: str
    main: str
    score: Callable[[Sequence[Example]], Row]
    is_annotated: Callable[[Doc], bool]


def score_entities(examples: Sequence[Example]) -> Row:
    """RETURNS (Row): Counts of Docs and entities, precision, recall and F, and the same for each label."""
    return _score_spans(examples, lambda doc: doc.ents, get_ner_prf(examples)["ents_r"])


def score_spans(examples: Sequence[Example], key: str) -> Row:
    """RETURNS (Row): As `score_entities`, of the spans of a key."""
    name = f"{SPANS}{key}"
    scores = Scorer.score_spans(
        examples, name, getter=lambda doc, _: doc.spans.get(key, ()), has_annotation=lambda doc: key in doc.spans,
        allow_overlap=True, labeled=True,
    )  # fmt: skip
    return _score_spans(examples, lambda doc: doc.spans.get(key, ()), scores.get(f"{name}_r"))


def _score_spans(examples: Sequence[Example], get: Callable, recall: Optional[float]) -> Row:
    predicted = sum(len(get(example.predicted)) for example in examples)
    gold = sum(len(get(example.reference)) for example in examples)
    # spaCy gives no counts; every right span is a gold one, so that the recall tells their number exactly.
    return span_row(docs=len(examples), gold=gold, predicted=predicted, right=round((recall or 0.0) * gold))


def span_row(*, docs: int, gold: int, predicted: int, right: int) -> Row:
    """RETURNS (Row): The counts, with precision, recall and F."""
    counts = {"docs": docs, "gold": gold, "predicted": predicted, "right": right}
    precision = right / predicted if predicted else 0.0
    recall = right / gold if gold else 0.0
    f_score = 2 * right / (predicted + gold) if right else 0.0
    return {**counts, "precision": precision, "recall": recall, "f_score": f_score}


def score_categories(examples: Sequence[Example]) -> Row:
    """Score categories. Docs without gold categories are left out.

    RETURNS (Row): Counts of Docs and of those whose best label is a gold one, their share, and the mean F of the labels
        that are annotated.
    """
    annotated = [example for example in examples if example.reference.cats]
    labels = {label for example in annotated for label in example.reference.cats}
    several = any(sum(example.reference.cats.values()) != 1 for example in annotated)
    scores = Scorer.score_cats(annotated, "cats", labels=labels, multi_label=several)
    right = sum(
        example.reference.cats.get(best_label(example.predicted) or "", 0.0) > 0 for example in annotated
    )
    accuracy = right / len(annotated) if annotated else 0.0
    return {"docs": len(annotated), "right": right, "accuracy": accuracy, "f_score": scores["cats_macro_f"]}


def best_label(doc: Doc) -> Optional[str]:
    """RETURNS (str | None): The most probable category of a Doc; None if no label has a probability."""
    return max(doc.cats, key=doc.cats.__getitem__) if any(doc.cats.values()) else None


def score_syntax(examples: Sequence[Example]) -> Row:
    """Score what tokens have, by the scorers of spaCy's components. What no component has set is 0.

    RETURNS (Row): Counts of Docs and gold tokens; the shares of right tags, parts of speech, morphology and lemmas, as
        far as they are annotated; of right heads and of heads with relations, without punctuation; F of sentences.
    """
    row: Row = {"docs": len(examples), "tokens": sum(len(example.reference) for example in examples)}
    for attr in ("tag", "pos", "morph", "lemma"):
        if any(has_annotation(example.reference, attr.upper()) for example in examples):
            row[f"{attr}_acc"] = Scorer.score_token_attr(examples, attr)[f"{attr}_acc"] or 0.0
    if any(has_annotation(example.reference, "DEP") for example in examples):
        parsed = any(has_annotation(example.predicted, "DEP") for example in examples)
        heads = parser_score(examples) if parsed else {}
        row.update(uas=heads.get("dep_uas") or 0.0, las=heads.get("dep_las") or 0.0)
    if any(has_annotation(example.reference, "SENT_START") for example in examples):
        found = any(has_annotation(example.predicted, "SENT_START") for example in examples)
        scores = Scorer.score_spans(
            examples, "sents", has_annotation=lambda doc: doc.has_annotation("SENT_START")
        )
        row["sents_f"] = (scores["sents_f"] if found else None) or 0.0
    return row


def score_answers(examples: Sequence[Example]) -> Row:
    """RETURNS (Row): Counts of Docs and questions, and means over the questions: exact match, F1 of words and of
    characters.
    """
    pairs = []
    for example in examples:
        predicted = get_answers(example.predicted)
        for question, spans in get_answers(example.reference).items():
            best = [span.text for span in predicted.get(question, [])][:1]
            pairs.append(("".join(best), [span.text for span in spans]))
    scores = {name: value or 0.0 for name, value in mean_scores(pairs).items()}
    return {"docs": len(examples), "gold": len(pairs), **scores}


def score_surprisal(examples: Iterable[Example]) -> Row:
    """RETURNS (Row): Counts of Docs and of their bytes, and the mean bits of a byte. A Doc without pieces, whose mean is
    NaN, has no part.
    """
    docs = [example.predicted for example in examples]
    measured = [(doc._.bits_per_byte, len(doc.text.encode("utf8"))) for doc in docs]
    measured = [(bits, n_bytes) for bits, n_bytes in measured if bits == bits]
    total = sum(n_bytes for _, n_bytes in measured)
    bits = sum(bits * n_bytes for bits, n_bytes in measured)
    return {"docs": len(measured), "bytes": total, "bits_per_byte": bits / total if total else 0.0}


def has_annotation(doc: Doc, *attrs: str) -> bool:
    """RETURNS (bool): Whether a Doc has any of the annotations. spaCy says that one without tokens has all of them, and one
    with a single token has sentences.
    """
    return any(len(doc) > (attr == "SENT_START") and doc.has_annotation(attr) for attr in attrs)


SYNTAX = ("TAG", "POS", "MORPH", "LEMMA", "DEP", "SENT_START")
MEASURES = {
    "ents": Measure("Entities", "f_score", score_entities, lambda doc: has_annotation(doc, "ENT_IOB")),
    "cats": Measure("Categories", "accuracy", score_categories, lambda doc: bool(doc.cats)),
    "syntax": Measure("Tokens and syntax", "", score_syntax, lambda doc: has_annotation(doc, *SYNTAX)),
    "qa": Measure("Answers", "f1", score_answers, lambda doc: bool(get_answers(doc))),
    "bits": Measure(
        "Surprisal", "bits_per_byte", score_surprisal, lambda doc: doc.has_extension("bits_per_byte") and len(doc) > 0
    ),
}  # fmt: skip
# Scores of spaCy's components that tell that a pipeline writes something.
WRITES = {
    "ents": ("ents_f",),
    "cats": ("cats_score",),
    "syntax": ("tag_acc", "pos_acc", "morph_acc", "lemma_acc", "dep_las", "sents_f"),
    "qa": ("qa_f1",),
}


def find_measure(name: str) -> Measure:
    """RETURNS (Measure): The measure of a task's name. RAISES (InputError): There is none."""
    if name.startswith(SPANS) and name != SPANS:
        key = name.removeprefix(SPANS)
        return Measure(
            f"Spans {key!r}",
            "f_score",
            lambda examples: score_spans(examples, key),
            lambda doc: key in doc.spans,
        )
    if name not in MEASURES:
        raise InputError(f"Expected one of the tasks {', '.join(MEASURES)}, or {SPANS}KEY; got {name!r}.")
    return MEASURES[name]


def find_tasks(nlp: Language, examples: Sequence[Example]) -> List[str]:
    """RETURNS (list[str]): What the pipeline writes and the gold Docs have.
    RAISES (InputError): There is nothing.
    """
    written = set(Scorer(nlp).score(examples[:1])) if examples else set()
    names = [name for name in MEASURES if name != "bits"] + [f"{SPANS}{key}" for key in _span_keys(examples)]
    found = []
    for name in names:
        measure = find_measure(name)
        writes = {*WRITES.get(name, ()), *([f"spans_{name.removeprefix(SPANS)}_f"] if SPANS in name else ())}
        has_gold = any(measure.is_annotated(example.reference) for example in examples)
        if has_gold and (writes & written or any(measure.is_annotated(eg.predicted) for eg in examples)):
            found.append(name)
    if any(nlp.get_pipe_meta(name).factory == "bloom_surprisal" for name in nlp.pipe_names):
        found.append("bits")
    if not found:
        raise InputError(
            f"The Docs have no annotation that the pipeline ({', '.join(nlp.pipe_names) or 'empty'}) writes. Name what to "
            "compare with --task, or check the data."
        )
    return found


def _span_keys(examples: Iterable[Example]) -> Tuple[str, ...]:
    """RETURNS (tuple[str, ...]): The keys of gold spans that are not answers."""
    groups = ((key, group) for example in examples for key, group in example.reference.spans.items())
    return tuple(dict.fromkeys(key for key, group in groups if "questions" not in group.attrs))


def shown(name: str, value: Any) -> str:
    """RETURNS (str): A count, a score in percent, or bits, for reading."""
    if value is None:
        return ""
    if name in COUNTS:
        return f"{value:,}"
    return f"{value:.3f}" if name == "bits_per_byte" else f"{100 * value:.2f}"
