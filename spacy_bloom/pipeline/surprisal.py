"""The component that says how surprising each token is to the language model."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from thinc.api import Model

from ..bloom.losses import IGNORED_LABEL
from ..generation.scoring import last_states
from ..thinc_layers.pieces.alignment import Ints
from ..thinc_layers.pieces.windows import Window, WindowSettings, batch_windows, cut_docs
from .base.component import component
from .base.extensions import add_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .base.token_bits import Floats, Spelling, byte_places
from .measuring.doc_surprisal import DocSurprisal, TokenSum
from .measuring.settings import SurprisalSettings


@component(
    "bloom_surprisal",
    SurprisalSettings,
    {"model": DEFAULT_MODEL},
    assigns=["token._.surprisal", "span._.surprisal", "doc._.perplexity", "doc._.bits_per_byte"],
)
class BloomSurprisal(LanguageModelPipe):
    """Writes the surprisal of every token in bits: -log2 of its probability given everything before it.

    A token has the sum of its pieces' bits. The space before a word belongs to the word's first piece, as BLOOM cuts
    it. Bits of a piece that spans several tokens are spread over its UTF-8 bytes (without the spaces that it begins
    with), and each token takes those of its bytes; pieces of nothing but spaces between two tokens belong to the
    second, and those at the end of the text to the last. So the sum over a Doc's tokens is the sum over its pieces.
    White space that is a token has the bits of its own pieces, and 0 if it is only the beginning of a piece.

    Probabilities are those of Hugging Face's BloomForCausalLM: a softmax over all rows of the embedding, including
    the 200 of published BLOOM that belong to no piece.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v2`.
    name (str): Name of the component.
    **settings: Those of `SurprisalSettings`.
    RAISES (ConfigError): A name is taken by another kind of extension.
    """

    def __init__(self, nlp: Language, model: Model, name: str = "bloom_surprisal", **settings: Any) -> None:
        super().__init__(nlp, model, name, **vars(SurprisalSettings(**settings)))
        self._spelling: Spelling | None = None
        self._add_extensions()

    def _add_extensions(self) -> None:
        """Here, not on first use: with nlp.pipe(n_process=2) that would be in another process."""
        add_extension(Token, self.cfg["attr"])
        add_extension(Span, self.cfg["attr"], TokenSum(self.cfg["attr"]))
        for attr in (self.cfg["perplexity_attr"], self.cfg["bits_per_byte_attr"]):
            if attr is not None:
                add_extension(Doc, attr)

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
        settings = WindowSettings(self.cfg["window"], self.cfg["context"])
        windows = settings.cut([max(len(s) - unread, 0) for s in sequences])
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
