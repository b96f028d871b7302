"""A spaCy tokenizer for text in mixed languages: words where words are spaced, characters where they are not.

spaCy's own rules cut a text at white space first. Here a space is first put around every character that must be a
token of its own; spaCy's rules then see ordinary spaced text, and the added spaces are taken out of the Doc again.
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
# Scripts that put no space between words. Hangul does, and is left to spaCy's rules.
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

# SOURCE: Unicode 15, emoji-data.txt, the blocks that hold little else.
EMOJI = (
    (0x231A, 0x231B), (0x23E9, 0x23FA), (0x2600, 0x27BF), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B55), (0x1F000, 0x1F1E5), (0x1F200, 0x1FAFF),
)
# fmt: on

# What continues a character though it is no combining mark: joiners, Thai and Lao AM, half-width voicing, emoji
# tags.
# SOURCE: Unicode Standard Annex 29, Extend and SpacingMark.
CONTINUING = ((0x200C, 0x200D), (0x0E33, 0x0E33), (0x0EB3, 0x0EB3), (0xFF9E, 0xFF9F), (0xE0020, 0xE007F))
# They put the next consonant below the last one: Myanmar, Khmer, Tai Tham, Balinese, Javanese.
STACKERS = "\u1039\u17d2\u1a60\u1b44\ua9c0"

# French, Catalan, Italian and Occitan elisions; spaCy's xx rules have the English 's only.
ELISIONS = r"(?i:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|dell|nell|all|dall|sull)['’](?=[^\W\d_])"


def code_points(ranges: Ranges) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def character_class(points: Iterable[int]) -> str:
    """The inside of a regular expression's character class, as few ranges as possible.

    points (Iterable[int]): code points, in any order.
    RETURNS (str): escaped ranges, without the brackets.
    """
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _extending_points() -> set:
    # Marks beyond these two ranges are not assigned; walking all of Unicode would cost ten times as long.
    candidates = code_points(((0x0300, 0x1FFFF), (0xE0100, 0xE01EF)))
    marks = {point for point in candidates if unicodedata.category(chr(point)).startswith("M")}
    return marks.union(code_points(CONTINUING))


def _alone_points(extending: set) -> set:
    points = set(code_points(UNSPACED_SCRIPTS + PUNCTUATION)) - extending
    return {point for point in points if unicodedata.category(chr(point)) != "Nd"}  # numbers stay whole


_EXTENDING = _extending_points()
_EXTEND = character_class(_EXTENDING)
_ALONE = character_class(_alone_points(_EXTENDING))
_EMOJI = character_class(code_points(EMOJI))
_FLAG_HALF = "\U0001f1e6-\U0001f1ff"
_SKIN_TONES = "\U0001f3fb-\U0001f3ff"

# One character as a reader sees it: never cut before a mark, inside a stack of consonants or an emoji sequence.
CHARACTER = (
    rf"(?:[{_ALONE}][{_EXTEND}]*(?:(?<=[{STACKERS}])[{_ALONE}][{_EXTEND}]*)*"
    rf"|[{_EMOJI}][{_EXTEND}{_SKIN_TONES}]*(?:(?<=\u200d)[{_EMOJI}][{_EXTEND}{_SKIN_TONES}]*)*"
    rf"|[{_FLAG_HALF}]{{1,2}}[{_EXTEND}]*"
    r"|[0-9#*]\ufe0f?\u20e3)"
)
_STARTS = f"{_ALONE}{_EMOJI}{_FLAG_HALF}"
_HAS_CHARACTER = re.compile(f"[{_STARTS}\u20e3]")
# Where the text goes on, `more` matches; where it does not, the character is consumed all the same.
_CUT = re.compile(rf"(?:{CHARACTER}|[^\s{_STARTS}](?=[{_STARTS}]|[0-9#*]\ufe0f?\u20e3))(?P<more>(?=\S))?")


def spaced(text: str) -> str:
    """Put a space at every border of a character that is a token of its own, where there is no white space yet.

    text (str): any text.
    RETURNS (str): the text with added spaces; each stands between two characters that are not white space.
    """
    if text.isascii() or not _HAS_CHARACTER.search(text):
        return text
    return _CUT.sub(lambda match: match[0] if match["more"] is None else match[0] + " ", text)


def without_added_spaces(doc: Doc, text: str) -> Doc:
    """Rebuild a Doc of `spaced(text)` as a Doc of `text`: the same tokens, only the original spaces.

    doc (Doc): tokens of `spaced(text)`.
    text (str): the original text.
    RETURNS (Doc): a Doc whose text is `text`.
    """
    words, spaces, end = [token.text for token in doc], [], 0
    for word in words:
        end += len(word)
        # spaCy never starts a token with a space that stands after a token, and no added space stands beside one.
        spaces.append(text.startswith(" ", end))
        end += spaces[-1]
    rebuilt = Doc(doc.vocab, words=words, spaces=spaces)
    norms = doc.to_array("NORM")
    if (norms != rebuilt.to_array("NORM")).any():  # special cases can set it
        rebuilt.from_array(["NORM"], norms.reshape(-1, 1))
    return rebuilt


class MultilingualTokenizer(Tokenizer):
    """spaCy's tokenizer, for text in which some scripts put no spaces between words.

    A character of such a script, punctuation of any script and an emoji sequence are tokens of their own; everything
    between them is cut by the rules the tokenizer was made with. Settings, serialisation and special cases are those
    of spaCy's `Tokenizer`. `doc.text == text` for every text.

    EXAMPLE:
        >>> [token.text for token in tokenizer("iPhone手机15元")]
        ['iPhone', '手', '机', '15', '元']
    """

    def __call__(self, string: str) -> Doc:
        """Tokenize a text.

        string (str): any text.
        RETURNS (Doc): the tokens.
        """
        padded = spaced(string)
        doc = super().__call__(padded)
        return doc if len(padded) == len(string) else without_added_spaces(doc, string)

    def explain(self, text: str) -> list[tuple[str, str]]:
        """Say which rule made each token, as spaCy's `Tokenizer.explain` does.

        text (str): any text.
        RETURNS (list): tuples of the rule's name and the token.
        """
        return super().explain(spaced(text))


def _whole_character_or(token_match: Callable | None) -> Callable:
    """A `token_match` that keeps a `CHARACTER` whole (affix rules would cut emoji sequences), and what was kept before.

    token_match (Callable | None): the language's own: the `match` of a compiled pattern.
    RETURNS (Callable): the `match` of a compiled pattern, since spaCy serialises the pattern.
    """
    whole = rf"{CHARACTER}\Z"
    if token_match is None:
        return re.compile(whole).match
    # Flags at the head of a pattern must become flags of its group once it no longer stands at the head.
    pattern = token_match.__self__.pattern  # type: ignore[attr-defined]
    own = re.sub(r"^\(\?([aiLmsux]+)\)(.*)", r"(?\1:\2)", pattern, flags=re.DOTALL)
    return re.compile(f"{whole}|(?:{own})").match


@registry.tokenizers("spacy-bloom.MultilingualTokenizer.v1")
def create_multilingual_tokenizer() -> Callable[[Language], MultilingualTokenizer]:
    """Registered function: the rules are those of the pipeline's language, `xx` for most.

    RETURNS (Callable[[Language], MultilingualTokenizer]): makes the tokenizer of a pipeline.
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
