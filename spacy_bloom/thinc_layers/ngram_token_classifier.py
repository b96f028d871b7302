"""A linear classifier over hashed words, their ends, shapes and character n-grams, of each token and its neighbours."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import List, Optional

import numpy
from numpy.typing import NDArray
from spacy import registry
from spacy.lang.lex_attrs import word_shape
from spacy.strings import get_string_id
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..errors import ConfigError
from .hashed_ngrams import FACTOR, Hashes, hashed_ngrams, with_like_digits
from .sparse_linear import Sparse, check_sizes, on_cpu, sparse_linear

Places = NDArray[numpy.int64]

# Lets a weight of this layer matter as much after a step of Adam as a weight over a transformer's long vectors.
SCALE = 16.0
# Characters at the beginning and at the end of a word, up to so many.
LONGEST_AFFIX = 4
# Before and after each text, so that each token has as many neighbours.
PADDING = 2
# Features that are there at once in prediction: some 20 MB while they are made.
MAX_FEATURES = 2**19
BORDER = "\x1f"  # between words
# India's scripts: letters of one sound are at one place of their blocks in Unicode, from Bengali to Malayalam as in
# Devanagari, but for the last column. As one letter, they let names be found in scripts that training has not shown.
LIKE_LETTERS = {code: 0x900 + code % 0x80 for code in range(0x980, 0xD80) if code % 0x80 < 0x70}
LIKE_LETTERS |= {0x9F0: 0x930, 0x9F1: 0x935, 0xB71: 0x935}  # Assamese ra and va, Odia va
WORD, SHAPE = 0, 1  # columns of what neighbours see
N_OWN = 2 + 2 * LONGEST_AFFIX  # of these columns
# Of the token, of the tokens beside it, of the next ones, and the two pairs of words.
N_FIXED = 3 * N_OWN + 2 * 2 + 2
# Tell what is seen of a neighbour from what is seen of the token: odd numbers with bits in no order.
SALTS = [FACTOR ** numpy.uint64(n) for n in range(2, 8)]


@registry.architectures("spacy-bloom.NgramTokenClassifier.v1")
def create_ngram_token_classifier(
    ngram_sizes: Sequence[int] = (2, 3, 4, 5),
    rows: int = 2**17,
    feature_dropout: float = 0.1,
    nO: Optional[int] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """One weight for each tag and each hashed feature of a token: its lower-cased text, with its beginnings, ends,
    character n-grams and shape; those of the tokens before and after it, without n-grams, and its pairs with them; and
    the words and shapes of the next ones. All digits are alike, and so are letters of one sound in India's scripts.
    Knows nothing but the surface of a text, needs few examples, and finds names that a small transformer does not.
    Runs on the CPU.

    ngram_sizes (Sequence[int]): Lengths of the character n-grams, the ends of the word included.
    rows (int): Weights per tag. Fewer take less memory, and let more features share a weight.
    feature_dropout (float): Share of a token's features that are left out in training, so that it learns not to rely
        on names that it knows.
    nO (Optional[int]): Number of tags; set by the component if None.
    RETURNS (Model): Docs to logits. Each of shape (tokens, nO).
    RAISES (ConfigError): A length or a number of rows below 1, or a dropout that is not from 0 to less than 1.
    """
    check_sizes("ngram_sizes", *ngram_sizes)
    if not 0 <= feature_dropout < 1:
        raise ConfigError(f"Expected feature_dropout to be from 0 to less than 1, got {feature_dropout}.")
    output_layer = sparse_linear(rows, nO)
    # Neither is an attribute of the layer, which a file could change.
    forward = partial(_forward, sizes=frozenset(ngram_sizes), dropout=feature_dropout)
    model: Model[List[Doc], List[Floats2d]] = Model(
        "ngrams_by_token", forward, init=_init, layers=[on_cpu(output_layer)], dims={"nO": nO}
    )
    model.attrs["resize_output"] = _resize_output
    return model


def _init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    model.layers[0].initialize()


def _resize_output(model: Model, n_outputs: int) -> Model:
    classifier = model.layers[0]
    classifier.attrs["resize_output"](classifier, n_outputs)
    model.set_dim("nO", n_outputs, force=True)
    return model


def _forward(
    model: Model, docs: Sequence[Doc], is_train: bool, *, sizes: Collection[int], dropout: float
) -> tuple[List[Floats2d], Callable]:
    words, numbers, tokens = _number_words(docs)
    by_word = _word_features(words, sizes)
    n_tokens = model.ops.asarray1i([len(doc) for doc in docs])
    if not is_train:
        parts = [
            model.layers[0].predict(_features(*by_word, numbers, part))
            for part in _parts(by_word[-1], numbers, tokens)
        ]
        return model.ops.unflatten(model.ops.xp.concatenate(parts), n_tokens), lambda d_logits: docs
    keys, values, lengths = _features(*by_word, numbers, tokens)
    values *= (numpy.random.random_sample(len(values)) >= dropout) / numpy.float32(1 - dropout)
    logits, backprop_logits = model.layers[0]((keys, values, lengths), is_train)

    def backprop(d_logits: List[Floats2d]) -> Sequence[Doc]:
        if len(tokens):
            backprop_logits(model.ops.flatten(d_logits))
        return docs

    return model.ops.unflatten(logits, n_tokens), backprop


def _parts(starts: Places, numbers: Places, tokens: Places) -> list[Places]:
    """RETURNS (list[Places]): The tokens in parts of MAX_FEATURES, or of one token with more. Arguments as for
    `_features`.
    """
    if not len(tokens):
        return [tokens]
    here = numbers[tokens]
    total = numpy.cumsum(N_FIXED + starts[here + 1] - starts[here])
    cuts = numpy.searchsorted(total, numpy.arange(MAX_FEATURES, total[-1], MAX_FEATURES))
    return numpy.split(tokens, cuts)


def _number_words(docs: Sequence[Doc]) -> tuple[list[str], Places, Places]:
    """RETURNS (tuple): The different words, the empty one first; the texts as one row of words' numbers, with padding
    around each; and the places of the tokens in it.
    """
    numbers = {"": 0}
    row, tokens = [0] * PADDING, []
    for doc in docs:
        tokens.append(numpy.arange(len(row), len(row) + len(doc)))
        row += [numbers.setdefault(token.text, len(numbers)) for token in doc]
        row += [0] * PADDING
    return list(numbers), numpy.array(row), numpy.concatenate([*tokens, numpy.zeros(0, dtype="int64")])


def _word_features(words: Sequence[str], sizes: Collection[int]) -> tuple[Hashes, Hashes, Places]:
    """RETURNS (tuple): What neighbours also see of each word: itself, its shape, its beginnings and its ends; the
    n-grams of all words, one word's after the other's; and where those of each word begin, and the last ones end.
    Shapes (words, N_OWN), (n-grams,) and (words + 1,).
    """
    words = [word.replace(BORDER, " ").translate(LIKE_LETTERS) for word in words]
    text = with_like_digits(BORDER.join(["", *words, ""]).lower())
    folded = text.split(BORDER)[1:-1]
    longest = min(max([*sizes, LONGEST_AFFIX + 1]), max(map(len, folded)) + 2)
    by_size = {
        size: hashed
        for size, hashed in hashed_ngrams(text, longest)
        if size <= LONGEST_AFFIX + 1 or size in sizes
    }
    is_border = by_size[1] == ord(BORDER)
    borders = numpy.flatnonzero(is_border)
    before, after = borders[:-1], borders[1:]  # of each word
    first = numpy.array([get_string_id(word) for word in folded], dtype="uint64")
    shapes = numpy.array([get_string_id(word_shape(word)) for word in words], dtype="uint64")
    columns, last = [first.copy(), shapes], first.copy()
    for length in range(1, LONGEST_AFFIX + 1):
        long = after - before > length  # others keep all that they have
        if long.any():
            hashed = by_size[length + 1]
            first[long] = hashed[before[long]]
            last[long] = hashed[after[long] - length]
        columns += [first.copy(), last.copy()]
    # What the features are counts as much as what they say.
    kinds = numpy.arange(1, len(columns) + 1, dtype="uint64") * FACTOR
    own = numpy.stack(columns, axis=1) + kinds
    words_of = numpy.cumsum(is_border)[:-1] - 1  # by place
    found, owners = [], []
    for size in sorted(set(sizes) & set(by_size)):
        hashed = by_size[size][: len(words_of)]
        owner = words_of[: len(hashed)]
        inside = numpy.arange(len(hashed)) + size - 1 <= after[owner]
        found.append(hashed[inside] + numpy.array([len(columns) + size], dtype="uint64") * FACTOR)
        owners.append(owner[inside])
    owner = numpy.concatenate([*owners, numpy.zeros(0, dtype="int64")])
    ngrams = numpy.concatenate([*found, numpy.zeros(0, dtype="uint64")])
    counts = numpy.bincount(owner, minlength=len(words))
    return own, ngrams[numpy.argsort(owner, kind="stable")], numpy.concatenate([[0], numpy.cumsum(counts)])


def _features(own: Hashes, ngrams: Hashes, starts: Places, numbers: Places, tokens: Places) -> Sparse:
    """What is seen of each token and its neighbours.

    own, ngrams, starts (NDArray): What `_word_features` returns.
    numbers, tokens (NDArray): What `_number_words` returns; any of the tokens.
    RETURNS (Sparse): One row for each token.
    """
    here, previous, following = (numbers[tokens + i] for i in (0, -1, 1))
    words = own[:, WORD]
    fixed = [
        own[here],
        own[previous] * SALTS[0],
        own[following] * SALTS[1],
        own[numbers[tokens - 2]][:, [WORD, SHAPE]] * SALTS[2],
        own[numbers[tokens + 2]][:, [WORD, SHAPE]] * SALTS[3],
        ((words[previous] * FACTOR) ^ words[here])[:, None] * SALTS[4],
        ((words[here] * FACTOR) ^ words[following])[:, None] * SALTS[5],
    ]
    rows = numpy.concatenate(fixed, axis=1)
    counts = starts[here + 1] - starts[here]
    lengths = N_FIXED + counts
    ends = numpy.cumsum(lengths)
    keys = numpy.empty(lengths.sum(), dtype="uint64")
    # Those of a token together: first the row, then the n-grams.
    keys[(ends - lengths)[:, None] + numpy.arange(N_FIXED)] = rows
    nth = numpy.arange(counts.sum()) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
    keys[numpy.repeat(ends - counts, counts) + nth] = ngrams[numpy.repeat(starts[here], counts) + nth]
    # Vectors of the same length for words of all lengths.
    values = numpy.repeat(SCALE / numpy.sqrt(lengths), lengths).astype("float32")
    return keys, values, lengths.astype("int32")
