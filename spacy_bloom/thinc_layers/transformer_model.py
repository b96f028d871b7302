"""BLOOM as a thinc model from Docs to their pieces' vectors."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from spacy.tokens import Doc
from spacy_transformers.layers import split_trf_batch
from thinc.api import Model, chain, torch2xp, xp2torch
from thinc.types import Floats2d

from ..errors import ConfigError
from .pieces.reused_vectors import ReusedVectors
from .pieces.windows import DocPieces, Window, WindowSettings, batch_windows, cut_docs
from .transformer_data import BloomTransformerBatch, doc_output
from .weights.shim import BloomShim


def bloom_transformer_model(
    shim: BloomShim,
    windows: WindowSettings,
    *,
    max_batch_items: int = 1024,
    reuse: ReusedVectors | None = None,
) -> Model[list[Doc], BloomTransformerBatch]:
    """A model that runs BLOOM on Docs in packed batches.

    shim (BloomShim): Holds the weights, or the name to load them from on first use.
    windows (WindowSettings): How long Docs are cut.
    max_batch_items (int): Maximum number of pieces in a packed batch in prediction.
    reuse (ReusedVectors | None): Stores the vectors of training texts.
    RETURNS (Model): Docs to vectors.
    RAISES (ConfigError): Vectors are to be kept of weights that learn from the first step on.
    """
    if reuse is not None and shim.learns:
        raise ConfigError(
            "Got reuse for a transformer that learns, whose vectors change with every step. Set "
            "train_transformer = false (instead of spaCy's frozen_components) and mix_layers = false, or reuse = null."
        )
    return Model(
        "bloom-transformer",
        forward,
        init=init,
        shims=[shim],
        dims={"nO": None},
        attrs={
            "windows": windows,
            "max_batch_items": max_batch_items,
            "reuse": reuse,
            "replace_listener": replace_listener,
            "replace_listener_cfg": replace_listener_cfg,
        },
    )


def bloom_shim(model: Model) -> BloomShim:
    """RETURNS (BloomShim): The shim of a model made by `bloom_transformer_model`."""
    shim = model.shims[0]
    assert isinstance(shim, BloomShim)
    return shim


def set_width(model: Model) -> None:
    """Set the model's output dimension, as far as it is known without loading weights."""
    width = bloom_shim(model).hidden_size()
    if width is not None:
        model.set_dim("nO", width, force=True)


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    """Load the weights; there is nothing to initialise at random."""
    bloom_shim(model).initialize()
    set_width(model)


def forward(
    model: Model[list[Doc], BloomTransformerBatch], docs: list[Doc], is_train: bool
) -> tuple[BloomTransformerBatch, Callable]:
    """Docs to vectors; see `bloom_transformer_model`."""
    shim = bloom_shim(model)
    pieces = cut_docs(shim.tokenizer, docs)
    vectors, backprop_vectors = _way(model, is_train)(model, pieces)
    data = [doc_output(p, v) for p, v in zip(pieces, vectors, strict=True)]

    def backprop(d_output: BloomTransformerBatch) -> list[Doc]:
        # As in the output, each gradient is one row: (1, pieces, hidden_size).
        backprop_vectors([d.tensors[0][0] if d.model_output else None for d in d_output.doc_data])
        return docs

    return BloomTransformerBatch(docs, data), backprop


def _way(
    model: Model, is_train: bool
) -> Callable[[Model, Sequence[DocPieces]], tuple[list[Floats2d], Callable]]:
    if bloom_shim(model).learns:
        return _update if is_train else _predict
    reuse = model.attrs["reuse"]
    return _reuse if reuse is not None and (is_train or reuse.started) else _predict


def _reuse(model: Model, pieces: Sequence[DocPieces]) -> tuple[list[Floats2d], Callable]:
    """As `_predict`, but stored vectors are not computed again."""
    reuse, shim = model.attrs["reuse"], bloom_shim(model)
    windows = model.attrs["windows"]
    settings = (
        shim.digest,
        windows.window,
        windows.context,
        shim.encoder.bidirectional_layers,
        reuse.config.dtype,
    )
    reuse.use(hashlib.sha256(repr(settings).encode()).hexdigest())
    size = shim.module.config.hidden_size
    vectors = [reuse.get(p.ids, size) if len(p.ids) else None for p in pieces]
    missing = [i for i, found in enumerate(vectors) if found is None]
    computed, _ = _predict(model, [pieces[i] for i in missing])
    for i, part in zip(missing, computed, strict=True):
        vectors[i] = reuse.add(pieces[i].ids, model.ops.to_numpy(part)) if len(part) else part
    return [model.ops.asarray2f(part) for part in vectors], _no_backprop


def _windows(model: Model, pieces: Sequence[DocPieces]) -> list[Window]:
    return model.attrs["windows"].cut([len(p.ids) for p in pieces])


def _predict(model: Model, pieces: Sequence[DocPieces]) -> tuple[list[Floats2d], Callable]:
    """RETURNS (tuple[list[Floats2d], Callable]): Vectors by Doc. Each of shape (pieces, hidden_size)."""
    shim, windows = bloom_shim(model), _windows(model, pieces)
    parts: dict[tuple[int, int], torch.Tensor] = {}
    for batch in batch_windows(windows, model.attrs["max_batch_items"]):
        hidden = shim.predict(_packed(pieces, batch))  # (pieces of the batch, hidden_size)
        for window, states in zip(batch, hidden.split([len(w) for w in batch]), strict=True):
            parts[window.doc, window.keep] = states[window.kept]
    return _join(model, len(pieces), windows, parts), _no_backprop


def _update(model: Model, pieces: Sequence[DocPieces]) -> tuple[list[Floats2d], Callable]:
    """As `_predict`, in one packed batch whose graph is kept for the backward pass."""
    windows = _windows(model, pieces)
    if not windows:
        return _join(model, len(pieces), windows, {}), _no_backprop
    hidden, backprop_hidden = bloom_shim(model).begin_update(_packed(pieces, windows))
    lengths = [len(w) for w in windows]
    states = hidden.detach().split(lengths)
    parts = {(w.doc, w.keep): s[w.kept] for w, s in zip(windows, states, strict=True)}

    def backprop(d_vectors: list[Floats2d | None]) -> None:
        d_hidden = torch.zeros_like(hidden)
        for window, part in zip(windows, d_hidden.split(lengths), strict=True):
            d_doc = d_vectors[window.doc]
            if d_doc is not None:
                part[window.kept] = xp2torch(d_doc[window.keep : window.keep_end], device=part.device)
        backprop_hidden(d_hidden)

    return _join(model, len(pieces), windows, parts), backprop


def _packed(pieces: Sequence[DocPieces], windows: Sequence[Window]) -> tuple[torch.Tensor, list[int]]:
    ids = numpy.concatenate([pieces[w.doc].ids[w.start : w.end] for w in windows])
    return torch.from_numpy(ids), [len(w) for w in windows]


def _join(
    model: Model, n_docs: int, windows: Sequence[Window], parts: dict[tuple[int, int], torch.Tensor]
) -> list[Floats2d]:
    """Join the windows of each Doc in an array of its own. A view would keep the whole batch in memory as long as one
    of its Docs.
    """
    by_doc: list[list[torch.Tensor]] = [[] for _ in range(n_docs)]
    for window in windows:
        by_doc[window.doc].append(parts[window.doc, window.keep])
    empty = model.ops.alloc2f(0, bloom_shim(model).module.config.hidden_size)
    return [torch2xp(torch.cat(p).float(), ops=model.ops) if p else empty for p in by_doc]


def _no_backprop(d_vectors: Any) -> None:
    """There is no gradient in prediction, for a frozen transformer, and for a batch of empty Docs."""


def replace_listener(model: Model) -> Model:
    """RETURNS (Model): What replaces a listener when a component gets a transformer of its own."""
    return chain(model, split_trf_batch())


def replace_listener_cfg(transformer_cfg: dict[str, Any], listener_cfg: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The config of what `replace_listener` makes."""
    kept: dict[str, Any] = {
        key: listener_cfg[key] for key in ("pooling", "grad_factor") if key in listener_cfg
    }
    return {**transformer_cfg, **kept, "@architectures": "spacy-bloom.Tok2VecTransformer.v2"}
