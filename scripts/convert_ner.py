"""Make spaCy training data from CoNLL-like NER files in many languages.

Reads `<lang>.<split>.conll` (token, tab, BIO tag; a blank line after each sentence), writes the sentences as
natural running text, cuts it with `spacy-bloom.MultilingualTokenizer.v1`, and saves `train.spacy`, `dev.spacy`
and `test.spacy` with all languages together, plus `dev.<lang>.spacy` and `test.<lang>.spacy`. The language is on
`doc.user_data["lang"]`.

    python scripts/convert_ner.py data/ner corpus --group 3
"""

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from corpora import Report, add_group, multilingual_pipeline, table, write_corpus
from spacy.language import Language
from spacy.tokens import Doc, Span

Entity = tuple[int, int, str]  # start, end, label; of words or of characters
COLUMNS = ("docs", "tokens", "exact", "expanded", "dropped")


# ---- Running text from words ------------------------------------------------------------

OPENING = set("([{¿¡«“‘「『（《〈【〔〖")
CLOSING = set(")]}»”’」』）》〉】〕〗.,;:!?%…،؛؟۔٪।॥、。，！？：；")
CURLY = str.maketrans("‘’“”", "’‘”“")  # Urdu texts open with what closes elsewhere
STRAIGHT_QUOTES = {'"', "'", "‘’"}
TIGHT_BOTH_SIDES = {"/"}
TIGHT_BEFORE_NUMBER = {"$", "€", "£", "₹", "#", "@"}
# Treebanks that cut every hyphen: there it mostly joins a compound. Elsewhere a lone hyphen is a dash.
HYPHENS_WERE_CUT = {"en", "hi", "id", "te", "ur", "zh", "zh_hant"}
CUT_ELISIONS = {"ca", "fr", "pt"}  # l' , d' , qu' are words of their own
ENGLISH_CLITIC = re.compile(r"(?:n['’]t|['’](?:s|m|d|ll|ve|re))\Z", re.IGNORECASE)
EMOTICON = re.compile(r"[:;=]-?[()DPp/]\Z")
UNSPACED = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uffef\U00020000-\U0003ffff·‧…—“”‘’]")

PORTUGUESE_CONTRACTIONS = {
    **{("de", article): "d" + article for article in ("o", "a", "os", "as")},
    **{("em", article): "n" + article for article in ("o", "a", "os", "as")},
    **{("por", article): "pel" + article for article in ("o", "a", "os", "as")},
    ("a", "o"): "ao",
    ("a", "os"): "aos",
    ("a", "a"): "à",
    ("a", "as"): "às",
    **{
        (preposition, word): letter + word
        for preposition, letter in (("de", "d"), ("em", "n"))
        for word in ("ele", "ela", "eles", "elas", "isto", "isso", "aquilo")
        + tuple(stem + ending for stem in ("est", "ess") for ending in ("e", "a", "es", "as"))
        + ("aquele", "aquela", "aqueles", "aquelas")
    },
    **{("a", word): "à" + word[1:] for word in ("aquele", "aquela", "aqueles", "aquelas", "aquilo")},
}


def contract_portuguese(words: list[str], tags: list[str]) -> tuple[list[str], list[str]]:
    """Write `de o` as `do`, as it was before the treebank cut it, unless an entity starts between the two."""
    new_words: list[str] = []
    new_tags: list[str] = []
    mergeable = False
    for word, tag in zip(words, tags, strict=True):
        pair = (new_words[-1].lower(), word.lower()) if mergeable else None
        same_entity = bool(new_tags) and (tag[0] == "I") == (new_tags[-1][0] in "BI") and tag[0] != "B"
        if pair in PORTUGUESE_CONTRACTIONS and same_entity:
            new_words[-1] = _like(PORTUGUESE_CONTRACTIONS[pair], new_words[-1], word)
            mergeable = False
        else:
            new_words.append(word)
            new_tags.append(tag)
            mergeable = True
    return new_words, new_tags


def _like(word: str, first: str, second: str) -> str:
    if first.isupper() and second.isupper() and len(first + second) > 2:
        return word.upper()
    return word[0].upper() + word[1:] if first[0].isupper() else word


def _is_sign(word: str) -> bool:
    return not any(character.isalnum() for character in word)


def _quote_side(words: list[str], i: int, is_open: bool) -> str:
    """Say whether the straight quote `words[i]` is "open", "close" or, as far as can be told, "neither"."""
    following = words[i + 1] if i + 1 < len(words) else ""
    if i == 0:
        return "open"
    if not following or is_open or (following[0] in CLOSING and following not in STRAIGHT_QUOTES):
        return "close"
    if words[i - 1] == ":" or words[i] in words[i + 1 :]:
        return "open"
    return "close" if words[i - 1][-1] in ".?!…।۔؟" else "neither"


def glue(words: list[str], lang: str) -> list[tuple[bool, bool]]:
    """Say of every word whether it is written without a space to its left and to its right.

    words (list[str]): one sentence.
    lang (str): language code.
    RETURNS (list[tuple[bool, bool]]): (left, right) for each word.
    """
    sides = []
    open_quotes: dict[str, bool] = defaultdict(bool)
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        between_words = bool(before and after) and before[-1].isalnum() and after[0].isalnum()
        if word in STRAIGHT_QUOTES:
            side = _quote_side(words, i, open_quotes[word])
            open_quotes[word] = side == "open"
            # A quote that nothing answers is an apostrophe: the boys ' room; Qur ' an.
            apostrophe = side == "neither" and word == "'"
            left = side == "close" or (apostrophe and lang in ("en", "id"))
            right = side == "open" or (apostrophe and lang == "id")
        elif word in TIGHT_BOTH_SIDES or (word == "-" and lang in HYPHENS_WERE_CUT):
            # In the Indian languages "1 - ..." numbers an item; "30 - day" is a compound elsewhere.
            numbers_item = (
                word == "-" and lang in ("hi", "te", "ur") and before.isdigit() and not after[:1].isdigit()
            )
            left = right = between_words and not numbers_item
        elif word in TIGHT_BEFORE_NUMBER:
            left, right = False, after[:1].isdigit() or (word in "#@" and between_words)
        elif _is_sign(word) and not EMOTICON.match(word):
            left, right = _sign_sides(word, lang)
        else:
            left, right = _word_sides(word, lang)
        sides.append((left, right))
    return sides


def _sign_sides(word: str, lang: str) -> tuple[bool, bool]:
    if lang == "ur":
        word = word.translate(CURLY)
    quoted = word.startswith(('"', "''")) and len(word) > 1  # `".` and the like close
    left = word[0] in CLOSING or quoted
    right = word[-1] in OPENING or word == "``"
    if lang == "fr":  # French puts a space inside its quotes and before the tall signs
        left = left and word[0] not in ";:!?»%"
        right = right and word[-1] != "«"
    return left, right


def _word_sides(word: str, lang: str) -> tuple[bool, bool]:
    if lang == "en":
        return bool(ENGLISH_CLITIC.match(word)), False
    if lang in CUT_ELISIONS:
        enclitic = len(word) > 1 and word[0] in "-'’" and word[1].isalpha() and word[-1] not in "'’"
        return enclitic, len(word) > 1 and word[-1] in "'’" and word[-2].isalpha()
    return False, False


def gaps(words: list[str], lang: str) -> list[str]:
    """The white space between the words.

    words (list[str]): one sentence.
    lang (str): language code.
    RETURNS (list[str]): "" or " " after every word but the last.
    """
    sides = glue(words, lang)
    result = []
    for i in range(len(words) - 1):
        unspaced = lang.startswith("zh") and (UNSPACED.match(words[i][-1]) or UNSPACED.match(words[i + 1][0]))
        result.append("" if unspaced or sides[i][1] or sides[i + 1][0] else " ")
    return result


def running_text(words: list[str], tags: list[str], lang: str) -> tuple[str, list[Entity]]:
    """Write a sentence as it would stand in print.

    words (list[str]): its words.
    tags (list[str]): their BIO tags.
    lang (str): language code.
    RETURNS (tuple[str, list[Entity]]): the text, and its entities by characters.
    """
    if lang == "pt":
        words, tags = contract_portuguese(words, tags)
    if lang == "ur":  # this corpus writes compounds with an underscore
        words = [word if word.isascii() else word.strip("_").replace("_", " ") or word for word in words]
    text, starts, ends = "", [], []
    for word, gap in zip(words, [*gaps(words, lang), ""], strict=True):
        starts.append(len(text))
        ends.append(len(text) + len(word))
        text += word + gap
    return text, [(starts[first], ends[last - 1], label) for first, last, label in entities_of(tags)]


# ---- Files to sentences ----------------------------------------------------------------


def entities_of(tags: list[str]) -> list[Entity]:
    """The entities of BIO tags; an I- that continues nothing starts one.

    tags (list[str]): `O`, `B-LABEL` or `I-LABEL`.
    RETURNS (list[Entity]): first word, word after the last, label.
    """
    entities: list[Entity] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        label = tag[2:]
        if tag[0] == "I" and entities and entities[-1][1:] == (i, label):
            entities[-1] = (entities[-1][0], i + 1, label)
        else:
            entities.append((i, i + 1, label))
    return entities


def read_conll(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Read the sentences of a file.

    path (Path): token, tab, tag on each line; blank lines between sentences. Universal NER's files, with a number
        before the token, columns after the tag and comments, are read as well.
    YIELDS (tuple[list[str], list[str]]): words and BIO tags.
    RAISES (ValueError): when a line is neither blank nor a token with a BIO tag.
    """
    words: list[str] = []
    tags: list[str] = []
    with path.open(encoding="utf8") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\n").split("\t")
            if line.startswith("# ") and len(columns) == 1:
                continue
            if len(columns) > 3 and columns[0].isdigit():
                columns = columns[1:3]
            if len(columns) == 1 and not columns[0].strip():
                if words:
                    yield words, tags
                words, tags = [], []
            elif len(columns) == 2 and columns[0].strip() and re.match(r"O\Z|[BI]-.", columns[1]):
                words.append(columns[0].strip())
                tags.append(columns[1])
            else:
                raise ValueError(
                    f"{path}, line {number}: got {line.rstrip()!r}, expected a token, a tab and a tag "
                    "(O, B-LABEL or I-LABEL), or a blank line between sentences."
                )
    if words:
        yield words, tags


def grouped(
    sentences: Iterable[tuple[str, list[Entity]]], size: int, gap: str
) -> Iterator[tuple[str, list[Entity]]]:
    """Join every `size` sentences to one text with its entities by characters."""
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


# ---- Sentences to Docs -----------------------------------------------------------------


def make_doc(nlp: Language, text: str, entities: list[Entity], counts: Counter) -> Doc:
    """Tokenize a text and put its entities on the tokens.

    An entity whose border falls inside a token is expanded to whole tokens; it is dropped only where it then
    overlaps another one. Each is counted as "exact", "expanded" or "dropped".

    nlp (Language): its tokenizer is used.
    text (str): the text.
    entities (list[Entity]): by characters.
    counts (Counter): is added to.
    RETURNS (Doc): every token outside an entity is marked as outside.
    """
    doc = nlp.make_doc(text)
    taken: set = set()
    spans: list[Span] = []
    found = [(doc.char_span(start, end, label=label), start, end, label) for start, end, label in entities]
    for span, start, end, label in sorted(found, key=lambda each: each[0] is None):  # exact ones first
        kind = "exact" if span is not None else "expanded"
        span = span or doc.char_span(start, end, label=label, alignment_mode="expand")
        if span is None or taken.intersection(range(span.start, span.end)):
            counts["dropped"] += 1
            continue
        counts[kind] += 1
        taken.update(range(span.start, span.end))
        spans.append(span)
    doc.set_ents(spans)
    counts["docs"] += 1
    counts["tokens"] += len(doc)
    return doc


def convert_file(
    nlp: Language, path: Path, lang: str, *, group: int = 1, labels: Collection[str] | None = None
) -> tuple[list[Doc], Counter]:
    """Convert one file.

    nlp (Language): its tokenizer is used.
    path (Path): a CoNLL-like file.
    lang (str): its language.
    group (int): number of consecutive sentences in a Doc.
    labels (Collection[str] | None): the labels to keep; all by default.
    RETURNS (tuple[list[Doc], Counter]): the Docs, and how many there are of what.
    """
    counts: Counter = Counter()
    sentences = (running_text(words, tags, lang) for words, tags in read_conll(path))
    docs = []
    for text, entities in grouped(sentences, group, "" if lang.startswith("zh") else " "):
        kept = [entity for entity in entities if not labels or entity[2] in labels]
        docs.append(make_doc(nlp, text, kept, counts))
    return docs, counts


def convert(
    source: Path,
    target: Path,
    *,
    group: int = 1,
    seed: int = 0,
    languages: Collection[str] | None = None,
    labels: Collection[str] | None = None,
) -> Report:
    """Convert a folder of `<lang>.<split>.conll` files.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    group (int): number of consecutive sentences in a Doc.
    seed (int): of the order of the training Docs.
    languages (Collection[str] | None): the languages to take; all by default.
    labels (Collection[str] | None): the labels to keep; all by default.
    RETURNS (Report): the counts by language and split.
    RAISES (ValueError): when the folder holds no such file.
    """
    nlp = multilingual_pipeline()

    def read(path: Path, lang: str) -> tuple[list[Doc], Counter]:
        return convert_file(nlp, path, lang, group=group, labels=labels)

    return write_corpus(source, target, "conll", read, names=languages, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of LANG.SPLIT.conll files")
    parser.add_argument("target", type=Path, help="folder for the .spacy files")
    add_group(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of train.spacy (default 0)")
    parser.add_argument("--languages", nargs="+", metavar="LANG", help="languages to take (default: all)")
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help="entity labels to keep (default: all)")
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name) for name in ("group", "seed", "languages", "labels")}
    try:
        print(table(convert(arguments.source, arguments.target, **options), COLUMNS))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
