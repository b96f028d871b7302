"""The component that says how surprising each token is to the language model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from thinc.api import Config, Model

from ..bloom.losses import IGNORED_LABEL
from ..errors import ConfigError
from ..generation.scoring import last_states
from ..thinc_layers.pieces.alignment import Ints
from ..thinc_layers.pieces.windows import Window, batch_windows, check_windows, cut_docs, cut_windows
from .base.extensions import add_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .base.token_bits import Floats, Spelling, byte_places

DEFAULT_CONFIG = """
[bloom_surprisal]
upstream = null
attr = "surprisal"
perplexity_attr = "perplexity"
bits_per_byte_attr = "bits_per_byte"
bos = true
leading_space_correction = false
window = 1024
context = 512
max_batch_items = 1024
"""


@Language.factory(
    "bloom_surprisal",
    assigns=["token._.surprisal", "span._.surprisal", "doc._.perplexity", "doc._.bits_per_byte"],
    default_config={**Config().from_str(DEFAULT_CONFIG)["bloom_surprisal"], "model": DEFAULT_MODEL},
)
def make_bloom_surprisal(
    nlp: Language,
    name: str,
    model: Model,
    upstream: Optional[str],
    attr: str,
    perplexity_attr: Optional[str],
    bits_per_byte_attr: Optional[str],
    bos: bool,
    leading_space_correction: bool,
    window: int,
    context: int,
    max_batch_items: int,
) -> "BloomSurprisal":
    """Make the component. Arguments as for `BloomSurprisal`."""
    return BloomSurprisal(
        nlp,
        model,
        name,
        upstream=upstream,
        attr=attr,
        perplexity_attr=perplexity_attr,
        bits_per_byte_attr=bits_per_byte_attr,
        bos=bos,
        leading_space_correction=leading_space_correction,
        window=window,
        context=context,
        max_batch_items=max_batch_items,
    )


@dataclass(frozen=True)
class TokenSum:
    """The getter of a Span: the sum over its tokens, 0 if it has none.

    attr (str): Extension of the tokens.
    """

    attr: str

    def __call__(self, span: Span) -> float | None:
        """RETURNS (float | None): None if the tokens have not been annotated."""
        values = [token._.get(self.attr) for token in span]
        return None if None in values else math.fsum(values)


@dataclass(frozen=True)
class DocSurprisal:
    """What is written on one Doc.

    tokens (Floats): Bits of each token. Shape (tokens,).
    bits (float): Sum over the pieces that have a surprisal.
    n_pieces (int): Number of these pieces.
    n_bytes (int): UTF-8 bytes of these pieces.
    """

    tokens: Floats
    bits: float
    n_pieces: int
    n_bytes: int

    @property
    def perplexity(self) -> float:
        """RETURNS (float): 2 to the mean bits of a piece; NaN without pieces."""
        with numpy.errstate(over="ignore"):
            return float(numpy.exp2(self.bits / self.n_pieces)) if self.n_pieces else math.nan

    @property
    def bits_per_byte(self) -> float:
        """RETURNS (float): Mean bits of a UTF-8 byte; NaN without pieces."""
        return self.bits / self.n_bytes if self.n_bytes else math.nan


class BloomSurprisal(LanguageModelPipe):
    """Writes the surprisal of every token, -log2 of its probability given all that is before it, in bits.

    A token has the sum of its pieces' bits. The space before a word is part of the word's first piece, as BLOOM
    cuts it. Bits of a piece that spans several tokens are spread over its UTF-8 bytes (without the spaces that it
    begins with), and each token takes those of its bytes; pieces of nothing but spaces between two tokens are the
    second one's, and those at the end of the text the last one's. So the sum over a Doc's tokens is the sum over
    its pieces. White space that is a token has the bits of its own pieces; as long as it is only the beginning of
    a piece it has 0.

    Probabilities are those of Hugging Face's BloomForCausalLM: a softmax over all rows of the embedding, the 200
    of published BLOOM that belong to no piece included.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v1`.
    name (str): Name of the component.
    upstream (str | None): Name of a bloom_transformer whose weights are used instead.
    attr (str): Extension of tokens, in bits; the same one of spans is the sum over their tokens.
    perplexity_attr (str | None): Extension of Docs: 2 to the mean bits of a piece, before any correction. It
        depends on the tokenizer. None writes none.
    bits_per_byte_attr (str | None): Extension of Docs: bits divided by the UTF-8 bytes of the text, which compares
        across tokenizers. None writes none.
    bos (bool): Whether a Doc is read as the beginning of a document, `</s>` before it, as BLOOM's training
        separates documents. Otherwise nothing is known of a Doc's first piece: it counts in no sum, and tokens with
        a part in it have NaN.
    leading_space_correction (bool): Let the space before a word belong to the word before it: a token that a
        space or the end of the text follows is multiplied by the probability of that, which is summed over all pieces
        that begin with a space and `</s>`; what follows a space is divided by it. The first word of a Doc, before
        which no space is, is divided by nothing. The sum over tokens is that over pieces and the end of the text.
    window (int): Most pieces that the model reads at once; longer Docs are cut.
    context (int): Pieces to the left that a window shares with the one before it: so many at least are read before
        any piece that is not in a Doc's first window. Only the first window begins with `</s>`.
    max_batch_items (int): Budget of a packed batch, in pieces; a longer window is a batch of its own.
    RAISES (ConfigError): A setting is out of range, or a name is taken by another kind of extension.
    SOURCE: Correction: Oh and Schuler 2024 (arXiv 2406.10851); Pimentel and Meister 2024 (arXiv 2406.14561).
    """

    def __init__(
        self,
        nlp: Language,
        model: Model,
        name: str = "bloom_surprisal",
        *,
        upstream: str | None = None,
        attr: str = "surprisal",
        perplexity_attr: str | None = "perplexity",
        bits_per_byte_attr: str | None = "bits_per_byte",
        bos: bool = True,
        leading_space_correction: bool = False,
        window: int = 1024,
        context: int = 512,
        max_batch_items: int = 1024,
    ) -> None:
        check_windows(window, context)
        if max_batch_items < 1:
            raise ConfigError(f"Expected max_batch_items (pieces) of at least 1, got {max_batch_items}.")
        super().__init__(
            nlp,
            model,
            name,
            upstream=upstream,
            attr=attr,
            perplexity_attr=perplexity_attr,
            bits_per_byte_attr=bits_per_byte_attr,
            bos=bos,
            leading_space_correction=leading_space_correction,
            window=window,
            context=context,
            max_batch_items=max_batch_items,
        )
        self._spelling: Spelling | None = None
        self._add_extensions()

    def _add_extensions(self) -> None:
        """Here, not on first use: with nlp.pipe(n_process=2) that would be in another process."""
        attr, *doc_attrs = (self.cfg[key] for key in ("attr", "perplexity_attr", "bits_per_byte_attr"))
        if not attr or "" in doc_attrs or (doc_attrs[0] is not None and doc_attrs[0] == doc_attrs[1]):
            raise ConfigError(
                f"Expected names of extensions: attr, and two different ones (or null) as perplexity_attr and "
                f"bits_per_byte_attr; got {attr!r}, {doc_attrs[0]!r} and {doc_attrs[1]!r}."
            )
        add_extension(Token, attr)
        for doc_attr in doc_attrs:
            if doc_attr is not None:
                add_extension(Doc, doc_attr)
        add_extension(Span, attr, TokenSum(attr))

    def predict(self, docs: Iterable[Doc]) -> list[DocSurprisal]:
        """RETURNS (list[DocSurprisal]): Of each Doc."""
        docs = list(docs)
        if not docs:
            return []
        pieces = [p.ids for p in cut_docs(self.tokenizer, docs)]
        start = [self.tokenizer.eos_token_id] if self.cfg["bos"] else []
        sequences = [numpy.array([*start, *ids] if len(ids) else [], dtype=numpy.int64) for ids in pieces]
        scores = self._score(sequences)
        return [self._of_doc(*each) for each in zip(docs, pieces, *scores, strict=True)]

    def _score(self, sequences: Sequence[Ints]) -> tuple[list[Floats], list[Floats]]:
        """RETURNS (tuple[list[Floats], list[Floats]]): At each place of each sequence, the bits of the piece after
        it, and the bits of a space or the end of the text after it; 0 where there is no such thing, or where
        nobody asks. Each of shape (places,).
        """
        ends = numpy.cumsum([len(s) for s in sequences], dtype=numpy.int64)
        # What follows each place; nothing the last ones.
        labels = numpy.concatenate([numpy.append(s[1:], IGNORED_LABEL)[: len(s)] for s in sequences])
        bits = numpy.zeros((2, len(labels)))
        # Without the correction nobody asks what follows the last piece.
        unread = 0 if self.cfg["leading_space_correction"] else 1
        windows = cut_windows(
            [max(len(s) - unread, 0) for s in sequences], self.cfg["window"], self.cfg["context"]
        )
        for batch in batch_windows(windows, self.cfg["max_batch_items"]):
            firsts = [ends[w.doc] - len(sequences[w.doc]) for w in batch]
            places = [numpy.arange(at + w.keep, at + w.end) for at, w in zip(firsts, batch, strict=True)]
            own = numpy.concatenate(places)
            bits[:, own] = self._score_batch(sequences, batch, labels[own])
        next_piece, boundary = (numpy.split(row, ends[:-1]) for row in bits)
        return next_piece, boundary

    @torch.inference_mode()
    def _score_batch(self, sequences: Sequence[Ints], batch: Sequence[Window], labels: Ints) -> Floats:
        """RETURNS (Floats): The two rows of `_score` for the places that the windows keep. Shape (2, places)."""
        model = self.language_model
        texts = [torch.from_numpy(sequences[w.doc][w.start : w.end]) for w in batch]
        states = last_states(model, texts, [w.end - w.keep for w in batch])  # (places, hidden_size)
        nll = numpy.zeros((2, len(labels)))
        nll[0] = model.lm_head.nll(states, torch.from_numpy(labels).to(states.device)).cpu().numpy()
        if self.cfg["leading_space_correction"]:
            begins = self._get_spelling().begins_with_space
            members = torch.zeros(model.config.vocab_size, dtype=torch.bool)
            members[: len(begins)] = torch.from_numpy(begins)
            members[self.tokenizer.eos_token_id] = True
            asked = numpy.flatnonzero((labels == IGNORED_LABEL) | begins[labels.clip(min=0)])
            asked_states = states[torch.from_numpy(asked).to(states.device)]
            nll[1, asked] = model.lm_head.set_nll(asked_states, members.to(states.device)).cpu().numpy()
        return nll / math.log(2)

    def _of_doc(self, doc: Doc, ids: Ints, next_piece: Floats, boundary: Floats) -> DocSurprisal:
        """Arguments as of `_score`, of one Doc. RETURNS (DocSurprisal): What is written on it."""
        if not len(doc):
            return DocSurprisal(numpy.zeros(0), 0.0, 0, 0)
        places = byte_places(doc, ids, self._get_spelling())
        unknown = 0 if self.cfg["bos"] else 1
        bits = numpy.concatenate((numpy.zeros(unknown), next_piece[:-1]))  # (pieces,)
        # What was asked before a piece that begins with a space leaves it for the token before the space. Before
        # the first piece is no token.
        moved = numpy.concatenate((numpy.zeros(unknown), boundary[:-1]))
        moved[0] = 0.0
        tokens = places.share(bits - moved)
        tokens += numpy.bincount(places.token_of(places.starts - 1), weights=moved, minlength=len(doc))
        tokens[-1] += boundary[-1]
        if unknown:
            tokens[: places.token_of(places.ends[:1] - 1)[0] + 1] = math.nan
        n_bytes = int(places.ends[-1] - (places.ends[0] if unknown else 0))
        return DocSurprisal(tokens, float(bits.sum()), len(ids) - unknown, n_bytes)

    def _get_spelling(self) -> Spelling:
        tokenizer = self.tokenizer
        if self._spelling is None or self._spelling.tokenizer is not tokenizer:
            self._spelling = Spelling.of(tokenizer)
        return self._spelling

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[DocSurprisal]) -> None:
        """Write the extensions."""
        for doc, found in zip(docs, predictions, strict=True):
            for token, bits in zip(doc, found.tokens.tolist(), strict=True):
                token._.set(self.cfg["attr"], bits)
            for key, value in (
                ("perplexity_attr", found.perplexity),
                ("bits_per_byte_attr", found.bits_per_byte),
            ):
                if self.cfg[key] is not None:
                    doc._.set(self.cfg[key], value)
