"""The registered architectures that put BLOOM under spaCy's components."""

from typing import Any, Dict, List, Optional, Union

from spacy import registry
from spacy.tokens import Doc
from spacy_transformers.layers import split_trf_batch, trfs2arrays
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged

from ..settings import from_settings
from .listener import BloomTransformerListener
from .pieces.reused_vectors import ReusedVectors, ReuseSettings
from .pieces.windows import WindowSettings
from .transformer_data import BloomTransformerBatch
from .transformer_model import bloom_transformer_model
from .weights.shim import BloomShim


@registry.architectures("spacy-bloom.TransformerModel.v2")
def create_transformer_model_v2(
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
    reuse: Optional[Dict[str, Any]] = None,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
    quantization: Optional[str] = None,
    device_map: Union[str, Dict[str, Union[str, int]], None] = None,
    sparse_embeddings: bool = False,
) -> Model[List[Doc], BloomTransformerBatch]:
    """BLOOM over Docs, loaded on first use.

    name (str): Checkpoint: bundled ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    window (int): Maximum number of pieces that the model sees at once. Longer Docs are cut into overlapping windows.
    context (int): Pieces that a window sees in addition, before those it is for; with bidirectional attention also
        after them.
    dtype (str): Dtype to compute in: "float32", "bfloat16", "float16", or "auto" for the checkpoint's.
    storage_dtype (Optional[str]): Dtype that nlp.to_disk writes; None is the computing dtype.
    revision (Optional[str]): Branch, tag or commit on the Hub.
    gradient_checkpointing (bool): Recompute activations in the backward pass; less memory, more time.
    attention (str): "causal", as BLOOM was trained, or "bidirectional": no causal mask, and the bias -slope * distance
        on both sides. Taggers benefit from seeing what follows a token. `train-lm --training.objective mntp` prepares
        a checkpoint for it.
    bidirectional_layers (Optional[int]): Number of last layers that are bidirectional. None is all, and then the model
        cannot tell left from right.
    train_transformer (bool): Whether the weights learn. If not, only the components that listen do.
    reuse (Optional[Dict[str, Any]]): Store the vectors of training texts for later epochs, if the weights do not
        learn: fields of `ReuseSettings`; {} stores up to 1,000 megabytes in memory.
    trainable_layers (Union[int, Dict[str, Optional[int]], None]): Number of last layers that learn; None is everything
        including the embeddings. Or numbers by the step they hold from, to unfreeze layer by layer.
    layer_factor (float): Factor of the learning rate from each layer to the one below it.
    lora (Optional[Dict[str, Any]]): Train adapters instead of the weights: fields of `LoraSettings`.
    mix_layers (bool): Return a learned mixture of all layers' states instead of the last state.
    quantization (Optional[str]): "int8" for weights of 8 bits: less memory, more speed, a small loss; "float16"
        or "bfloat16" for weights of 16 bits beside float32 activations. They do not learn; adapters beside them do.
        None for the checkpoint's own.
    device_map (Union[str, Dict[str, Union[str, int]], None]): Where layers go, for prediction: "auto" fills GPUs, then
        the CPU's memory, and leaves the rest in the files; or devices by modules, such as {"": "disk"}. None for the
        device of thinc's ops.
    sparse_embeddings (bool): A training step changes only the embedding's rows that its batch has read: BLOOM's has
        250,880, and a gradient and two moments for each take three times the embedding's memory.
    RETURNS (Model): Docs to their pieces' vectors.
    """
    shim = BloomShim.from_config(locals())
    windows = WindowSettings(window, context, both_sides=shim.attention.both_sides)
    reused = None if reuse is None else ReusedVectors(from_settings(ReuseSettings, "reuse", reuse))
    return bloom_transformer_model(shim, windows, reuse=reused)


@registry.architectures("spacy-bloom.TransformerModel.v1")
def create_transformer_model(
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
    reuse: Optional[Dict[str, Any]] = None,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
) -> Model[List[Doc], BloomTransformerBatch]:
    """See `create_transformer_model_v2`; without quantisation."""
    return create_transformer_model_v2(**locals())


@registry.architectures("spacy-bloom.TransformerListener.v1")
def create_transformer_listener(
    pooling: Model[Ragged, Floats2d], grad_factor: float = 1.0, upstream: str = "*"
) -> Model[List[Doc], List[Floats2d]]:
    """Token vectors from a transformer earlier in the pipeline. Its output is removed from the Doc by the last
    component that reads it.

    pooling (Model[Ragged, Floats2d]): From a token's pieces to its vector: reduce_mean, reduce_last, ...
    grad_factor (float): Weight of this component's gradient on its way to the transformer.
    upstream (str): Name of the transformer component, or "*" for any.
    RETURNS (Model): Docs to token vectors. Each of shape (tokens, hidden_size).
    """
    listener = BloomTransformerListener(upstream)
    model: Model = chain(listener, trfs2arrays(pooling, grad_factor))
    model.set_ref("listener", listener)
    return model


@registry.architectures("spacy-bloom.Tok2VecTransformer.v2")
def create_tok2vec_transformer_v2(
    pooling: Model[Ragged, Floats2d],
    name: str = "tiny-bloom",
    grad_factor: float = 1.0,
    window: int = 512,
    context: int = 128,
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    gradient_checkpointing: bool = False,
    attention: str = "causal",
    bidirectional_layers: Optional[int] = None,
    train_transformer: bool = True,
    reuse: Optional[Dict[str, Any]] = None,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
    quantization: Optional[str] = None,
    device_map: Union[str, Dict[str, Union[str, int]], None] = None,
    sparse_embeddings: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """A transformer that one component has to itself. nlp.replace_listeners replaces listeners with it.

    Arguments as for the listener and the transformer model.
    RETURNS (Model): Docs to token vectors. Each of shape (tokens, hidden_size).
    """
    settings = {name: value for name, value in locals().items() if name not in ("pooling", "grad_factor")}
    transformer = create_transformer_model_v2(**settings)
    # A chain in a chain, as nlp.replace_listeners builds it, so that both read each other's bytes.
    return chain(chain(transformer, split_trf_batch()), trfs2arrays(pooling, grad_factor))


@registry.architectures("spacy-bloom.Tok2VecTransformer.v1")
def create_tok2vec_transformer(
    pooling: Model[Ragged, Floats2d],
    name: str = "tiny-bloom",
    grad_factor: float = 1.0,
    window: int = 512,
    context: int = 128,
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    gradient_checkpointing: bool = False,
    attention: str = "causal",
    bidirectional_layers: Optional[int] = None,
    train_transformer: bool = True,
    reuse: Optional[Dict[str, Any]] = None,
    trainable_layers: Union[int, Dict[str, Optional[int]], None] = None,
    layer_factor: float = 1.0,
    lora: Optional[Dict[str, Any]] = None,
    mix_layers: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """See `create_tok2vec_transformer_v2`; without quantisation."""
    return create_tok2vec_transformer_v2(**locals())
