"""Entities from CoNLL files: a word and a tag on each line, a blank line after each sentence."""

import re
from collections import Counter
from typing import Collection, Iterable, Iterator, List, Optional, Tuple

from spacy.language import Language

from ..errors import InputError
from .entities import Entity, set_entities
from .files import DataFile, naming_damage
from .samples import Sample
from .spacing import contract_portuguese, gaps, is_unspaced

SUFFIXES = (".conll", ".iob2", ".iob", ".bio")
TAG = re.compile(r"O\Z|[BIELSU]-.")
# BIOES and BILUO say where an entity ends as well.
AS_BIO = {"E": "I", "L": "I", "S": "B", "U": "B"}
DOCUMENT, BLANK = "-DOCSTART-", ("", "")
Words = Tuple[List[str], List[str]]  # words, BIO tags
Text = Tuple[str, List[Entity]]


def read_conll(
    nlp: Language, file: DataFile, *, group: int = 1, labels: Optional[Collection[str]] = None
) -> Iterator[Sample]:
    """Write sentences as they would stand in print, tokenize them, and put the entities on the tokens.

    nlp (Language): Its tokenizer is used.
    file (DataFile): A file of words and tags, as `read_sentences` reads it.
    group (int): Number of consecutive sentences in a Doc.
    labels (Collection[str] | None): Labels to keep; all by default.
    YIELDS (Sample): The Docs.
    RAISES (InputError): A line is not understood.
    """
    sentences = (running_text(words, tags, file.lang) for words, tags in read_sentences(file))
    texts = grouped(sentences, group, "" if is_unspaced(file.lang) else " ")
    for number, (text, entities) in enumerate(texts):
        counts: Counter = Counter()
        doc = nlp.make_doc(text)
        kept = [entity for entity in entities if not labels or entity[2] in labels]
        set_entities(doc, kept, counts)
        doc.user_data["lang"] = file.name
        yield Sample(doc, file.name, file.split, counts, (("text", text),), (number,))


def read_sentences(file: DataFile) -> Iterator[Words]:
    """Read the sentences of a file.

    file (DataFile): Each line has columns between tabs or, without a tab, between spaces: the first is a word, the last
        its tag. Universal NER's files, with a number before the word and columns after the tag, are read as well.
    YIELDS (tuple[list[str], list[str]]): Words and BIO tags.
    RAISES (InputError): A line is neither blank nor a word with a tag.
    """
    words: List[str] = []
    tags: List[str] = []
    with file.path.open(encoding="utf-8-sig") as opened:
        for number, line in enumerate(naming_damage(opened, file.path), start=1):
            found = _columns(line)
            if found is None:
                continue
            word, tag = found
            if found == BLANK or word == DOCUMENT:
                if words:
                    yield words, tags
                words, tags = [], []
            elif word and TAG.match(tag):
                words.append(word)
                tags.append(AS_BIO.get(tag[0], tag[0]) + tag[1:])
            else:
                raise InputError(
                    f"{file.path}, line {number}: got {line.rstrip()!r}, expected a token, a tab and a tag (O, B-LABEL "
                    "or I-LABEL), or a blank line between sentences."
                )
    if words:
        yield words, tags


def _columns(line: str) -> Optional[Tuple[str, str]]:
    """RETURNS (tuple[str, str] | None): A word and its tag, BLANK for a blank line, None for a comment."""
    if "\t" in line.strip("\r\n "):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) > 3 and columns[0].isdigit():
            columns = columns[1:3]
    else:
        columns = line.split()
        if line.startswith("# ") and not TAG.match(columns[-1]):
            return None
    return (columns[0], columns[-1] if len(columns) > 1 else "") if columns else BLANK


def running_text(words: List[str], tags: List[str], lang: str) -> Text:
    """Write a sentence as it would stand in print.

    words (list[str]): Its words.
    tags (list[str]): Their BIO tags.
    lang (str): Language code.
    RETURNS (tuple[str, list[Entity]]): The text, and its entities by characters.
    """
    if lang == "pt":
        words, tags = contract_portuguese(words, tags)
    if lang == "ur":  # a corpus writes compounds with an underscore
        words = [word if word.isascii() else word.strip("_").replace("_", " ") or word for word in words]
    text, starts, ends = "", [], []
    for word, gap in zip(words, [*gaps(words, lang), ""], strict=True):
        starts.append(len(text))
        ends.append(len(text) + len(word))
        text += word + gap
    return text, [(starts[first], ends[last - 1], label) for first, last, label in entities_of(tags)]


def entities_of(tags: List[str]) -> List[Entity]:
    """Find the entities of BIO tags; an I- that continues nothing starts one.

    tags (list[str]): `O`, `B-LABEL` or `I-LABEL`.
    RETURNS (list[Entity]): First word, the one after the last, label.
    """
    entities: List[Entity] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        label = tag[2:]
        if tag[0] == "I" and entities and entities[-1][1:] == (i, label):
            entities[-1] = (entities[-1][0], i + 1, label)
        else:
            entities.append((i, i + 1, label))
    return entities


def grouped(sentences: Iterable[Text], size: int, gap: str) -> Iterator[Text]:
    """Join every `size` sentences to one text with its entities by characters.

    gap (str): What stands between two sentences.
    """
    text, entities, count = "", [], 0
    for sentence, own in sentences:
        shift = len(text) + len(gap) if text else 0
        text = text + gap + sentence if text else sentence
        entities += [(start + shift, end + shift, label) for start, end, label in own]
        count += 1
        if count == size:
            yield text, entities
            text, entities, count = "", [], 0
    if count:
        yield text, entities
