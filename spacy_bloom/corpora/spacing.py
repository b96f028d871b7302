"""From words to running text: the white space that a treebank has cut away, and words that it has cut in two."""

import re
from collections import defaultdict
from typing import Dict, List, Tuple

OPENING = set("([{¿¡«“‘「『（《〈【〔〖")
CLOSING = set(")]}»”’」』）》〉】〕〗.,;:!?%…،؛؟۔٪।॥、。，！？：；")
CURLY = str.maketrans("‘’“”", "’‘”“")  # Urdu texts open with what closes elsewhere
STRAIGHT_QUOTES = {'"', "'", "‘’"}
TIGHT_BOTH_SIDES = {"/"}
TIGHT_BEFORE_NUMBER = {"$", "€", "£", "₹", "#", "@"}
# Treebanks that cut every hyphen: there it mostly joins a compound. Elsewhere a lone hyphen is a dash.
HYPHENS_WERE_CUT = {"en", "hi", "id", "te", "ur", "zh"}
CUT_ELISIONS = {"ca", "fr", "pt"}  # l' , d' , qu' are words of their own
ENGLISH_CLITIC = re.compile(r"(?:n['’]t|['’](?:s|m|d|ll|ve|re))\Z", re.IGNORECASE)
EMOTICON = re.compile(r"[:;=]-?[()DPp/]\Z")
UNSPACED_LANGUAGES = {"ja", "km", "lo", "my", "th", "yue", "zh"}
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uffef"
    r"\U00020000-\U0003ffff·‧…—“”‘’]"
)

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


def contract_portuguese(words: List[str], tags: List[str]) -> Tuple[List[str], List[str]]:
    """Write `de o` as `do`, as it was before the treebank cut it, unless an entity starts between the two."""
    new_words: List[str] = []
    new_tags: List[str] = []
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


def _quote_side(words: List[str], i: int, is_open: bool) -> str:
    """Say whether the straight quote `words[i]` is "open", "close" or, as far as can be told, "neither"."""
    following = words[i + 1] if i + 1 < len(words) else ""
    if i == 0:
        return "open"
    if not following or is_open or (following[0] in CLOSING and following not in STRAIGHT_QUOTES):
        return "close"
    if words[i - 1] == ":" or words[i] in words[i + 1 :]:
        return "open"
    return "close" if words[i - 1][-1] in ".?!…।۔؟" else "neither"


def glue(words: List[str], lang: str) -> List[Tuple[bool, bool]]:
    """Say of every word whether it is written without a space to its left and to its right.

    words (list[str]): one sentence.
    lang (str): language code.
    RETURNS (list[tuple[bool, bool]]): (left, right) for each word.
    """
    sides = []
    open_quotes: Dict[str, bool] = defaultdict(bool)
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
        elif word in TIGHT_BOTH_SIDES or (word == "-" and lang.split("_")[0] in HYPHENS_WERE_CUT):
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


def _sign_sides(word: str, lang: str) -> Tuple[bool, bool]:
    if lang == "ur":
        word = word.translate(CURLY)
    quoted = word.startswith(('"', "''")) and len(word) > 1  # `".` and the like close
    left = word[0] in CLOSING or quoted
    right = word[-1] in OPENING or word == "``"
    if lang == "fr":  # French puts a space inside its quotes and before the tall signs
        left = left and word[0] not in ";:!?»%"
        right = right and word[-1] != "«"
    return left, right


def _word_sides(word: str, lang: str) -> Tuple[bool, bool]:
    if lang == "en":
        return bool(ENGLISH_CLITIC.match(word)), False
    if lang in CUT_ELISIONS:
        enclitic = len(word) > 1 and word[0] in "-'’" and word[1].isalpha() and word[-1] not in "'’"
        return enclitic, len(word) > 1 and word[-1] in "'’" and word[-2].isalpha()
    return False, False


def is_unspaced(lang: str) -> bool:
    """RETURNS (bool): Whether a language is written without spaces between its words."""
    return lang.split("_")[0] in UNSPACED_LANGUAGES


def gaps(words: List[str], lang: str) -> List[str]:
    """The white space between the words.

    words (list[str]): one sentence.
    lang (str): language code.
    RETURNS (list[str]): "" or " " after every word but the last.
    """
    sides = glue(words, lang)
    result = []
    for i in range(len(words) - 1):
        unspaced = is_unspaced(lang) and (UNSPACED.match(words[i][-1]) or UNSPACED.match(words[i + 1][0]))
        result.append("" if unspaced or sides[i][1] or sides[i + 1][0] else " ")
    return result
