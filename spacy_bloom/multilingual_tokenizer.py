"""A spaCy tokenizer for text in mixed languages. Scripts with spaces between words are split into words, other scripts
into characters.

spaCy's rules split a text on whitespace first. This tokenizer adds a space around every character that has to be a
token, applies spaCy's rules to the result and removes the added spaces from the Doc.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex, registry

Ranges = Iterable[tuple[int, int]]

# fmt: off
# Scripts without spaces between words. Hangul has them and is left to spaCy's rules.
# SOURCE: Unicode 15, Blocks.txt.
UNSPACED_SCRIPTS = (
    (0x0E00, 0x0E3E), (0x0E40, 0x0E7F),  # Thai, without the baht sign
    (0x0E80, 0x0EFF),  # Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xAA80, 0xAADF),  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    (0x1B00, 0x1B7F), (0xA980, 0xA9DF),  # Balinese, Javanese
    (0x2E80, 0x2FFF), (0x3001, 0x303F), (0x3190, 0x319F), (0x31C0, 0x31EF), (0x3200, 0x4DBF),  # Han and its signs
    (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFD), (0x16FE0, 0x18DFF),  # Han, Tangut, Khitan
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), (0x1AFF0, 0x1B16F),  # Kana
    (0x3100, 0x312F), (0x31A0, 0x31BF),  # Bopomofo
)

PUNCTUATION = (
    (0x0589, 0x0589), (0x05C3, 0x05C3),  # Armenian, Hebrew full stop
    (0x060C, 0x060C), (0x061B, 0x061B), (0x061D, 0x061F), (0x066A, 0x066A), (0x06D4, 0x06D4),  # Arabic, Urdu
    (0x0700, 0x070D), (0x07F8, 0x07F9),  # Syriac, N'Ko
    (0x0964, 0x0965), (0x0DF4, 0x0DF4), (0x1C7E, 0x1C7F), (0xABEB, 0xABEB),  # Indic danda, Sinhala, Ol Chiki, Meetei
    (0x1361, 0x1368), (0x1802, 0x1803), (0x1808, 0x1809), (0xA60D, 0xA60F),  # Ethiopic, Mongolian, Vai
    (0xFE10, 0xFE19), (0xFE30, 0xFE6B),  # vertical and small forms
    (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),  # full and half width
    (0xFFE0, 0xFFEE),
)

# SOURCE: Unicode 15, emoji-data.txt, blocks that consist mostly of emoji.
EMOJI = (
    (0x231A, 0x231B), (0x23E9, 0x23FA), (0x2600, 0x27BF), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B55), (0x1F000, 0x1F1E5), (0x1F200, 0x1FAFF),
)
# fmt: on

# Part of the preceding character, but not combining marks: joiners, Thai and Lao AM, half-width voicing, emoji tags.
# SOURCE: Unicode Standard Annex 29, Extend and SpacingMark.
CONTINUING = ((0x200C, 0x200D), (0x0E33, 0x0E33), (0x0EB3, 0x0EB3), (0xFF9E, 0xFF9F), (0xE0020, 0xE007F))
# Put the next consonant below the last one: Myanmar, Khmer, Tai Tham, Balinese, Javanese.
STACKERS = "\u1039\u17d2\u1a60\u1b44\ua9c0"

# French, Catalan, Italian and Occitan elisions. spaCy's rules for "xx" only cover the English 's.
ELISIONS = r"(?i:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|dell|nell|all|dall|sull)['’](?=[^\W\d_])"


def code_points(ranges: Ranges) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def character_class(points: Iterable[int]) -> str:
    """Write code points as the contents of a character class in a regular expression, with as few ranges as possible.

    points (Iterable[int]): The code points, in any order.
    RETURNS (str): The escaped ranges, without brackets.
    """
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _extending_points() -> set:
    # No marks are assigned outside of these two ranges. Going through all of Unicode would take ten times as long.
    candidates = code_points(((0x0300, 0x1FFFF), (0xE0100, 0xE01EF)))
    marks = {point for point in candidates if unicodedata.category(chr(point)).startswith("M")}
    return marks.union(code_points(CONTINUING))


def _alone_points(extending: set) -> set:
    points = set(code_points(UNSPACED_SCRIPTS + PUNCTUATION)) - extending
    return {point for point in points if unicodedata.category(chr(point)) != "Nd"}  # numbers are not split


_EXTENDING = _extending_points()
_EXTEND = character_class(_EXTENDING)
_ALONE = character_class(_alone_points(_EXTENDING))
_EMOJI = character_class(code_points(EMOJI))
_EXTENDING_CHARACTERS = frozenset(map(chr, _EXTENDING))
_FLAG_HALF = "\U0001f1e6-\U0001f1ff"
_SKIN_TONES = "\U0001f3fb-\U0001f3ff"

# A character as readers see it. It's never split before a mark, in a stack of consonants or in an emoji sequence.
CHARACTER = (
    rf"(?:[{_ALONE}][{_EXTEND}]*(?:(?<=[{STACKERS}])[{_ALONE}][{_EXTEND}]*)*"
    rf"|[{_EMOJI}][{_EXTEND}{_SKIN_TONES}]*(?:(?<=\u200d)[{_EMOJI}][{_EXTEND}{_SKIN_TONES}]*)*"
    rf"|[{_FLAG_HALF}]{{1,2}}[{_EXTEND}]*"
    r"|[0-9#*]\ufe0f?\u20e3)"
)
_STARTS = f"{_ALONE}{_EMOJI}{_FLAG_HALF}"
_HAS_CHARACTER = re.compile(f"[{_STARTS}\u20e3]")
# `more` matches if text follows. The character is consumed in either case.
_CUT = re.compile(rf"(?:{CHARACTER}|[^\s{_STARTS}](?=[{_STARTS}]|[0-9#*]\ufe0f?\u20e3))(?P<more>(?=\S))?")


# Characters that spaCy's rules get at once. They take affixes away one by one and look at all that is left each time:
# 16,000 apostrophes in a row took 27 seconds.
LONGEST = 500


def spaced(text: str) -> str:
    """Add a space on either side of each character that is a token, unless there is whitespace already, and inside what
    is longer than any word.

    text (str): The text.
    RETURNS (str): The text with spaces added, always between two characters that aren't whitespace.
    """
    if not text.isascii() and _HAS_CHARACTER.search(text):
        text = _CUT.sub(lambda match: match[0] if match["more"] is None else match[0] + " ", text)
    if len(text) > LONGEST and any(len(word) > LONGEST for word in text.split()):
        text = _TOO_LONG.sub(lambda match: " ".join(_parts(match[0])), text)
    return text


_TOO_LONG = re.compile(rf"(?<!\S)\S{{{LONGEST + 1},}}")


def _parts(word: str) -> Iterator[str]:
    """YIELDS (str): Parts of a word, none of which begins with a mark or ends with a joiner."""
    start = 0
    while start < len(word):
        end = start + LONGEST
        while end < len(word) and (word[end] in _EXTENDING_CHARACTERS or word[end - 1] == "\u200d"):
            end += 1
        yield word[start:end]
        start = end


def without_added_spaces(doc: Doc, text: str) -> Doc:
    """Remove the added spaces from a Doc. The tokens stay the same.

    doc (Doc): The Doc of `spaced(text)`.
    text (str): The original text.
    RETURNS (Doc): A Doc with the original text.
    """
    words, spaces, end = [token.text for token in doc], [], 0
    for word in words:
        end += len(word)
        # spaCy never starts a token with a space that follows a token, and no space is added next to a space.
        spaces.append(text.startswith(" ", end))
        end += spaces[-1]
    rebuilt = Doc(doc.vocab, words=words, spaces=spaces)
    norms = doc.to_array("NORM")
    if (norms != rebuilt.to_array("NORM")).any():  # can be set by special cases
        rebuilt.from_array(["NORM"], norms.reshape(-1, 1))
    return rebuilt


class MultilingualTokenizer(Tokenizer):
    """spaCy's tokenizer, for text that includes scripts without spaces between words.

    Each character of such a script is a token, and so is each punctuation mark of any script and each emoji sequence.
    Everything else is split by the rules the tokenizer was created with. Settings, serialization and special cases
    work as in spaCy's `Tokenizer`, and tokenization is non-destructive: `doc.text == text`.

    EXAMPLE:
        >>> [token.text for token in tokenizer("iPhone手机15元")]
        ['iPhone', '手', '机', '15', '元']
    """

    def __call__(self, string: str) -> Doc:
        """Tokenize a text.

        string (str): The text.
        RETURNS (Doc): A Doc with the tokens.
        """
        padded = spaced(string)
        doc = super().__call__(padded)
        return doc if len(padded) == len(string) else without_added_spaces(doc, string)

    def explain(self, text: str) -> list[tuple[str, str]]:
        """Show which rule produced each token, like spaCy's `Tokenizer.explain`.

        text (str): The text.
        RETURNS (list[tuple[str, str]]): The name of the rule and the text of each token.
        """
        return super().explain(spaced(text))


def _whole_character_or(token_match: Callable | None) -> Callable:
    """Extend a language's `token_match`, so that it also matches a `CHARACTER`. Otherwise the rules for prefixes and
    suffixes would split emoji sequences.

    token_match (Callable | None): The language's `token_match`: the `match` method of a compiled pattern.
    RETURNS (Callable): The `match` method of a compiled pattern, because spaCy serializes the pattern.
    """
    whole = rf"{CHARACTER}\Z"
    if token_match is None:
        return re.compile(whole).match
    # Inline flags are only allowed at the start of a pattern, so they're applied to its group instead.
    pattern = token_match.__self__.pattern  # type: ignore[attr-defined]
    own = re.sub(r"^\(\?([aiLmsux]+)\)(.*)", r"(?\1:\2)", pattern, flags=re.DOTALL)
    return re.compile(f"{whole}|(?:{own})").match


@registry.tokenizers("spacy-bloom.MultilingualTokenizer.v1")
def create_multilingual_tokenizer() -> Callable[[Language], MultilingualTokenizer]:
    """Create the tokenizer of a pipeline, with the rules of the pipeline's language (usually "xx").

    RETURNS (Callable[[Language], MultilingualTokenizer]): A function that takes the `nlp` object and creates the
        tokenizer.
    """

    def make_tokenizer(nlp: Language) -> MultilingualTokenizer:
        defaults = nlp.Defaults
        return MultilingualTokenizer(
            nlp.vocab,
            rules=defaults.tokenizer_exceptions,
            prefix_search=compile_prefix_regex([*(defaults.prefixes or ()), ELISIONS]).search,
            suffix_search=compile_suffix_regex(defaults.suffixes).search if defaults.suffixes else None,
            infix_finditer=compile_infix_regex(defaults.infixes).finditer if defaults.infixes else None,
            token_match=_whole_character_or(defaults.token_match),
            url_match=defaults.url_match,
        )

    return make_tokenizer
