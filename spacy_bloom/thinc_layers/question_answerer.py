"""BLOOM with two scores for each piece: how likely an answer starts there, and how likely one ends there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Dict, List, Optional, Union

import numpy
import torch
from numpy.typing import NDArray
from spacy import registry
from thinc.api import Model, chain, noop, torch2xp, xp2torch
from thinc.types import Floats2d

from ..errors import ConfigError, InputError
from .output_layer import find_head, load_output
from .pieces.question_overlap import N_FEATURES, Floats
from .pieces.question_windows import QuestionWindow
from .pieces.windows import WindowSettings, batch_windows
from .token_classifier import create_token_classifier
from .transformer_model import bloom_shim, set_width
from .weights.shim import BloomShim

# The least that a model reads, to learn the sizes of its layers from: one piece of a question, nothing of a Doc.
EMPTY_WINDOW = QuestionWindow(0, numpy.zeros(1, dtype="int64"), 1, 0, 0)


@registry.architectures("spacy-bloom.QuestionAnswerer.v2")
def create_question_answerer_v2(
    name: str = "tiny-bloom",
    window: int = 512,
    context: int = 128,
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    gradient_checkpointing: bool = False,
    attention: str = "causal",
    bidirectional_layers: Optional[int] = None,
    train_transformer: bool = True,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
    question_overlap: bool = False,
) -> Model[List[QuestionWindow], List[Floats2d]]:
    """A BLOOM of the component's own, dropout and a linear layer, as in BloomForQuestionAnswering.

    name (str): Checkpoint: bundled ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    window (int): Maximum number of pieces that the model sees at once, including the question's. Longer Docs are cut
        into overlapping windows.
    context (int): Pieces that a window shares with the one before it. An answer of no more pieces is complete in at
        least one window.
    dtype (str): Dtype to compute in: "float32", "bfloat16", "float16", or "auto" for the checkpoint's.
    storage_dtype (Optional[str]): Dtype that nlp.to_disk writes; None is the computing dtype.
    revision (Optional[str]): Branch, tag or commit on the Hub.
    gradient_checkpointing (bool): Recompute activations in the backward pass; less memory, more time.
    attention (str), bidirectional_layers (Optional[int]): Whether pieces attend to what follows them, as for
        `create_transformer_model`.
    train_transformer (bool): Whether BLOOM learns. If not, only the layers on top of it do.
    trainable_layers (Union[int, Dict[str, Optional[int]], None]), layer_factor (float), mix_layers (bool),
        lora (Optional[Dict[str, Any]]): Cheaper training, as for `create_transformer_model`.
    encode (Optional[Model]): Layers in between, such as spacy.MaxoutWindowEncoder.v2, with vectors of their own width.
        A causal model does not see what follows a piece; a window over the neighbouring vectors does.
    question_overlap (bool): Whether the layers on top of BLOOM also read how much of the question is found at each
        piece and around it, by character n-grams: a small model does not learn to compare. Needs encode.
    RETURNS (Model): Windows to logits. Each of shape (pieces, 2).
    RAISES (ConfigError): A window without room for new pieces, or question_overlap without encode.
    """
    if question_overlap and encode is None:
        raise ConfigError(
            "Got question_overlap without encode: the layers that combine it with BLOOM's vectors."
        )
    shim = BloomShim.from_config(locals())
    transformer = bloom_sequences(shim)
    vectors = with_overlap(transformer) if question_overlap else transformer
    head = create_token_classifier(noop(), encode, nO=2)
    model: Model[List[QuestionWindow], List[Floats2d]] = chain(vectors, head)
    model.set_ref("transformer", transformer)
    model.set_ref("head", head)
    model.set_ref("output_layer", head.get_ref("output_layer"))
    model.attrs["windows"] = WindowSettings(window, context)
    return model


@registry.architectures("spacy-bloom.QuestionAnswerer.v1")
def create_question_answerer(
    name: str = "tiny-bloom",
    window: int = 512,
    context: int = 128,
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    gradient_checkpointing: bool = False,
    attention: str = "causal",
    bidirectional_layers: Optional[int] = None,
    train_transformer: bool = True,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
) -> Model[List[QuestionWindow], List[Floats2d]]:
    """See `create_question_answerer_v2`; without the overlap with the question."""
    return create_question_answerer_v2(**locals())


def reads_overlap(model: Model) -> bool:
    """RETURNS (bool): Whether a model made by `create_question_answerer_v2` reads the overlap with the question."""
    return model.layers[0] is not model.get_ref("transformer")


def check_head(model: Model) -> None:
    """RAISES (ConfigError): The head was trained with another question_overlap than the model made by
    `create_question_answerer_v2` has.
    """
    width = model.get_ref("transformer").maybe_get_dim("nO")
    first = next(node for node in model.get_ref("head").walk(order="dfs_pre") if "W" in node.param_names)
    if width is None or not first.has_dim("nI"):
        return
    reads, read = reads_overlap(model), first.get_dim("nI") == width + N_FEATURES
    if reads != read:
        raise ConfigError(
            f"Got question_overlap = {str(reads).lower()}, and a head that was trained with "
            f"{str(read).lower()}. Load it with the setting that it was trained with, or train it anew."
        )


def with_overlap(
    transformer: Model[List[QuestionWindow], List[Floats2d]],
) -> Model[List[QuestionWindow], List[Floats2d]]:
    """A model that puts the features of `QuestionOverlap` beside BLOOM's vectors, zeros for the question.

    transformer (Model): A model made by `bloom_sequences`.
    RETURNS (Model): Windows to vectors. Each of shape (pieces, hidden_size + N_FEATURES).
    """
    return Model("with_overlap", _forward_with_overlap, init=_init_with_overlap, layers=[transformer])


def _init_with_overlap(model: Model, X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize()


def _forward_with_overlap(
    model: Model[List[QuestionWindow], List[Floats2d]], windows: List[QuestionWindow], is_train: bool
) -> tuple[List[Floats2d], Callable]:
    vectors, backprop_vectors = model.layers[0](windows, is_train)
    joined = [
        model.ops.xp.hstack([own, model.ops.asarray2f(_features(window))])
        for own, window in zip(vectors, windows, strict=True)
    ]

    def backprop(d_joined: List[Floats2d]) -> List[QuestionWindow]:
        return backprop_vectors([d[:, :-N_FEATURES] for d in d_joined])

    return joined, backprop


def _features(window: QuestionWindow) -> Floats:
    """RETURNS (Floats): Of all pieces of a window. Shape (pieces, N_FEATURES)."""
    features = numpy.zeros((len(window), N_FEATURES), dtype="float32")
    if window.overlap is not None:
        features[window.prefix :] = window.overlap.features(window.start, window.end)
    return features


def bloom_sequences(shim: BloomShim) -> Model[List[QuestionWindow], List[Floats2d]]:
    """A model that runs BLOOM on windows, all of them in one packed batch.

    shim (BloomShim): Holds the weights, or the name to load them from on first use.
    RETURNS (Model): Windows to last hidden states. Each of shape (pieces, hidden_size).
    """
    return Model("bloom-sequences", forward, init=init, shims=[shim], dims={"nO": None})


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    """Load the weights; there is nothing to initialise at random."""
    bloom_shim(model).initialize()
    set_width(model)


def forward(
    model: Model[List[QuestionWindow], List[Floats2d]], windows: List[QuestionWindow], is_train: bool
) -> tuple[List[Floats2d], Callable]:
    """Windows to last hidden states; see `bloom_sequences`."""
    if windows and not isinstance(windows[0], QuestionWindow):  # Docs, as from `spacy debug model`
        raise InputError(
            f"Expected questions in windows, got {type(windows[0]).__name__}s. Call the component: it asks questions "
            "about its Docs."
        )
    shim = bloom_shim(model)
    lengths = [len(window) for window in windows]
    packed = torch.from_numpy(numpy.concatenate([window.ids for window in windows])), lengths
    learns = is_train and shim.learns
    hidden, backprop_hidden = shim.begin_update(packed) if learns else (shim.predict(packed), None)

    def backprop(d_states: List[Floats2d]) -> List[QuestionWindow]:
        if backprop_hidden is not None:
            backprop_hidden(torch.cat([xp2torch(d, device=hidden.device) for d in d_states]))
        return windows

    states = hidden.detach().float().split(lengths)  # each (pieces, hidden_size)
    return [torch2xp(part, ops=model.ops) for part in states], backprop


def score_windows(
    model: Model, windows: Sequence[QuestionWindow], max_batch_items: int
) -> dict[QuestionWindow, NDArray[numpy.float32]]:
    """Run a model made by `create_question_answerer_v2` in batches.

    max_batch_items (int): Maximum number of pieces in a batch.
    RETURNS (dict[QuestionWindow, NDArray]): Logits of start and end. Each of shape (pieces of the window, 2).
    """
    scores = {}
    for batch in batch_windows(windows, max_batch_items):
        for window, logits in zip(batch, model.predict(batch), strict=True):
            scores[window] = model.ops.to_numpy(logits)
    return scores


def use_checkpoint(model: Model, checkpoint: str) -> None:
    """Load BLOOM from another checkpoint than the one in the model's config.

    model (Model): A model made by `create_question_answerer_v2`, not loaded yet.
    checkpoint (str): Directory or Hub name.
    """
    shim = bloom_shim(model.get_ref("transformer"))
    shim.weights = replace(shim.weights, name=checkpoint)


def load_head(model: Model) -> None:
    """Load the head of the Hugging Face question-answering checkpoint that BLOOM is loaded from.

    model (Model): A model made by `create_question_answerer_v2`.
    RAISES (CheckpointError): The checkpoint has no such head.
    RAISES (ConfigError): The model has layers that the checkpoint does not have.
    """
    shim = bloom_shim(model.get_ref("transformer"))
    checkpoint, revision = shim.weights.name, shim.weights.revision
    if shim.learning.mix_layers:
        raise ConfigError(
            f"Got mix_layers = true, and a checkpoint, {checkpoint}, whose head reads the last layer. "
            "Set mix_layers = false to use the checkpoint's weights, or checkpoint = null to train new ones."
        )
    source, config = find_head(checkpoint, revision)
    load_output(model.get_ref("head"), source, config, head="qa_outputs", n_outputs=2)
