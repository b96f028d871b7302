"""Make questions from the names and numbers of a corpus: to train a question answerer on before there are, or with few,
questions that people asked.

    python scripts/cloze_questions.py entities/train.spacy cloze.spacy

The context is some Docs of a language. A question is what stands around a name or number, without it and some other
words, behind a word that asks for its kind: "Who coached Panthers 2015?". Made for Docs whose language is in
`user_data["lang"]` and in WORDS; other Docs are left out.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_bloom.pipeline.answering.answers import Answer, set_answers

# What asks for a person, a place, an organisation, a year and another number.
WORDS = {
    "ar": ("من", "أين", "ما المنظمة", "متى", "كم"),
    "en": ("Who", "Where", "Which organization", "When", "How many"),
    "fr": ("Qui", "Où", "Quelle organisation", "Quand", "Combien"),
    "hi": ("कौन", "कहाँ", "कौन सा संगठन", "कब", "कितने"),
    "id": ("Siapa", "Di mana", "Organisasi apa", "Kapan", "Berapa"),
    "zh": ("谁", "哪里", "哪个组织", "什么时候", "多少"),
}
KINDS = ("PER", "LOC", "ORG", "YEAR", "NUMBER")
KEPT = 0.6  # share of the words around an answer that are in the question
REACH = 10  # words before and after an answer
LONGEST = 3  # tokens without a space between them that are one word here: in Chinese, a token is a character


def contexts(docs: Iterable[Doc], size: int) -> Iterator[tuple[str, Doc]]:
    """YIELDS (tuple[str, Doc]): A language, and so many Docs of it as one Doc with a sentence for each."""
    by_lang = defaultdict(list)
    for doc in docs:
        if len(doc) and doc.user_data.get("lang") in WORDS:
            by_lang[doc.user_data["lang"]].append(doc)
    for lang, own in by_lang.items():
        for start in range(0, len(own), size):
            yield lang, joined(own[start : start + size])


def joined(sentences: list[Doc]) -> Doc:
    """RETURNS (Doc): The sentences as one Doc, with their names."""
    doc = Doc.from_docs(sentences, exclude=["user_data"])
    starts = {0, *accumulate(map(len, sentences))}
    for token in doc:
        token.is_sent_start = token.i in starts
    return doc


def candidates(doc: Doc) -> list[tuple[str, Span]]:
    """RETURNS (list[tuple[str, Span]]): The names and numbers whose text is found once, with their kinds."""
    numbers = [doc[t.i : t.i + 1] for t in doc if t.text.isdecimal() and not t.ent_type_]
    found = [(span.label_, span) for span in doc.ents if span.label_ in KINDS]
    found += [("YEAR" if len(span.text) == 4 else "NUMBER", span) for span in numbers]
    return [(kind, span) for kind, span in found if doc.text.count(span.text) == 1]


def question(kind: str, span: Span, lang: str, rng: random.Random) -> str | None:
    """RETURNS (str | None): A question that the span answers; None if there is nothing to ask with."""
    sentence = span.sent
    before = words_of(span.doc[sentence.start : span.start])[-REACH:]
    after = words_of(span.doc[span.end : sentence.end])[:REACH]
    kept = [word for word in [*before, *after] if rng.random() < KEPT]
    between = "" if lang == "zh" else " "
    return between.join([WORDS[lang][KINDS.index(kind)], *kept]) + "?" if kept else None


def words_of(part: Span) -> list[str]:
    """RETURNS (list[str]): What stands between spaces and punctuation, of at most LONGEST tokens."""
    words: list[list[str]] = [[]]
    for token in part:
        if token.is_punct or len(words[-1]) == LONGEST:
            words.append([])
        if not token.is_punct:
            words[-1].append(token.text)
        if token.whitespace_:
            words.append([])
    return ["".join(word) for word in words if word]


def make_questions(docs: Iterable[Doc], *, size: int, n_questions: int, seed: int) -> Iterator[Doc]:
    """Make questions.

    docs (Iterable[Doc]): Sentences with names in `doc.ents` and languages in `user_data["lang"]`.
    size (int): Docs in a context.
    n_questions (int): Maximum number of questions about a context.
    seed (int): Decides which names and words are taken.
    YIELDS (Doc): One for each question, with its answer.
    """
    rng = random.Random(seed)
    for lang, doc in contexts(docs, size):
        found = candidates(doc)
        for kind, span in rng.sample(found, min(n_questions, len(found))):
            asked = question(kind, span, lang, rng)
            if asked is None:
                continue
            copy = Doc(doc.vocab, [t.text for t in doc], [bool(t.whitespace_) for t in doc])
            set_answers(copy, {asked: [Answer(span.start, span.end)]})
            yield copy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="a .spacy file")
    parser.add_argument("target", type=Path, help="the .spacy file to write")
    parser.add_argument("--size", type=int, default=4, help="Docs in a context (default: 4)")
    parser.add_argument("--questions", type=int, default=2, help="at most, about a context (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    arguments = parser.parse_args()
    docs = DocBin(store_user_data=True).from_disk(arguments.corpus).get_docs(spacy.blank("xx").vocab)
    made = DocBin(
        docs=make_questions(docs, size=arguments.size, n_questions=arguments.questions, seed=arguments.seed)
    )
    made.to_disk(arguments.target)
    print(f"{arguments.target}: {len(made):,} questions")


if __name__ == "__main__":
    main()
