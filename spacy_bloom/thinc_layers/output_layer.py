"""The last layer of a classifier: its size, and its weights from a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spacy_transformers.layers import TransformerListener
from thinc.api import Model
from thinc.layers.resizable import resize_linear_weighted

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import WeightFiles
from ..checkpoint.names import HEAD_CLASSES, is_head
from ..config import BloomConfig
from ..errors import CheckpointError, ConfigError
from .transitions import replace_layer, resize_transitions

# A new output starts at the mean of the others, less so many nats.
NEW_OUTPUT_MARGIN = 10.0


def set_output(model: Model, n_outputs: int) -> None:
    """Set the number of tags or labels. A layer that has weights keeps them; its new outputs are never the best ones
    until they are learnt.
    """
    old = model.get_ref("output_layer")
    if model.has_ref("linear_model"):
        _resize_linear_model(model.get_ref("linear_model"), n_outputs)
    if not has_output(model):
        old.set_dim("nO", n_outputs, force=True)
    elif n_outputs != old.get_dim("nO"):
        _replace_output(model, _larger(old, n_outputs))
        if model.has_ref("transitions"):
            resize_transitions(model, n_outputs)


def _resize_linear_model(linear_model: Model, n_outputs: int) -> None:
    # As spaCy's classifiers that take new labels have it; their scores are no logits if an activation follows.
    activated = any(node.name in ("softmax_activation", "logistic") for node in linear_model.walk())
    if activated or "resize_output" not in linear_model.attrs:
        raise ConfigError(
            f"Expected logits of linear_model, and a number of outputs that can be set, got {linear_model.name!r}. Use "
            "spacy-bloom.NgramClassifier.v1 (for tokens spacy-bloom.NgramTokenClassifier.v1), or spacy.TextCatBOW.v3 "
            "with no_output_layer = true."
        )
    linear_model.attrs["resize_output"](linear_model, n_outputs)


def _larger(old: Model, n_outputs: int) -> Model:
    n_old = old.get_dim("nO")
    new = resize_linear_weighted(old, n_outputs)
    for name, margin in (("W", 0.0), ("b", NEW_OUTPUT_MARGIN)):
        if name in new.param_names:
            values = new.get_param(name)
            values[n_old:] = values[:n_old].mean(axis=0) - margin
            new.set_param(name, values)
    return new


def _replace_output(model: Model, new: Model) -> None:
    old = model.get_ref("output_layer")
    for node in model.walk():
        if node.layers and node.has_dim("nO") and any(leaf is old for leaf in node.layers[-1].walk()):
            node.set_dim("nO", new.get_dim("nO"), force=True)
    replace_layer(model, old, new)


def has_output(model: Model) -> bool:
    """RETURNS (bool): Whether the last layer has weights: random, trained or a checkpoint's."""
    return model.get_ref("output_layer").has_param("W") is True


def found_outputs(model: Model) -> list[int]:
    """RETURNS (list[int]): The number of outputs of each classifier in a model that has weights; 0 for one without."""
    if not has_output(model):
        return []
    layers = [model.get_ref("output_layer")]
    if model.has_ref("linear_model"):
        layers += [node for node in model.get_ref("linear_model").walk() if "W" in node.param_names]
    return [layer.get_dim("nO") if layer.has_param("W") else 0 for layer in layers]


@contextmanager
def keeping_output(model: Model) -> Iterator[None]:
    """Keep the last layer's weights while the model is initialized inside."""
    output_layer = model.get_ref("output_layer")
    params = {name: output_layer.get_param(name).copy() for name in output_layer.param_names}
    yield
    for name, value in params.items():
        output_layer.set_param(name, value)


def find_head(name: str, revision: str | None = None) -> tuple[Checkpoint, BloomConfig]:
    """Find a Hugging Face checkpoint, without reading its weights.

    name (str): Directory or Hub name.
    revision (str | None): Branch, tag or commit on the Hub.
    RETURNS (tuple[Checkpoint, BloomConfig]): The checkpoint, and its config, whose id2label names the outputs in order.
    """
    checkpoint = Checkpoint.find(name, revision=revision)
    return checkpoint, checkpoint.config


def load_output(
    model: Model, checkpoint: Checkpoint, config: BloomConfig, *, head: str, n_outputs: int, bias: bool = True
) -> None:
    """Load the last layer's weights from a checkpoint.

    model (Model): Its reference "output_layer" is linear. A bias that the checkpoint does not have becomes 0.
    checkpoint (Checkpoint), config (BloomConfig): What `find_head` returns.
    head (str): Name of the head in the checkpoint: "classifier", "score" or "qa_outputs".
    n_outputs (int): Its outputs.
    bias (bool): Whether that head has a bias.
    RAISES (CheckpointError): The checkpoint has no such head, or one of another size.
    RAISES (ConfigError): The model has layers that the checkpoint does not have, or vectors of another size.
    """
    if model.has_ref("encode"):
        raise ConfigError(
            f"Got layers between the transformer and the last layer; the checkpoint in {checkpoint.path} has none. "
            "Set encode = null to use the checkpoint's weights, or checkpoint = null to train new ones."
        )
    if model.has_ref("linear_model"):
        raise ConfigError(
            f"Got a linear_model, for which the checkpoint in {checkpoint.path} has no weights. Set it to null "
            "to use the checkpoint's classifier, or checkpoint = null to train new ones."
        )
    _check_width(model, checkpoint.path, config)
    weights = checkpoint.weights
    expected: dict[str, tuple[int, ...]] = {f"{head}.weight": (n_outputs, config.hidden_size)}
    if bias:
        expected[f"{head}.bias"] = (n_outputs,)
    _check_shapes(expected, weights, head)
    output_layer = model.get_ref("output_layer")
    for dim, value in zip(("nO", "nI"), expected[f"{head}.weight"], strict=True):
        output_layer.set_dim(dim, value, force=True)
    output_layer.set_param("W", output_layer.ops.asarray2f(weights[f"{head}.weight"].float().numpy()))
    if "b" in output_layer.param_names:
        b = weights[f"{head}.bias"].float().numpy() if bias else [0.0] * n_outputs
        output_layer.set_param("b", output_layer.ops.asarray1f(b))


def _check_width(model: Model, path: Path, config: BloomConfig) -> None:
    for node in model.walk():
        is_transformer = node.shims or isinstance(node, TransformerListener)
        width = node.maybe_get_dim("nO") if is_transformer else None
        if width is not None and width != config.hidden_size:
            raise ConfigError(
                f"Got vectors of {width} numbers from the transformer, and a checkpoint for {config.hidden_size} in "
                f"{path}. Name the same checkpoint in the transformer's model and in the component."
            )


def _check_shapes(expected: dict[str, tuple[int, ...]], weights: WeightFiles, head: str) -> None:
    found = {name: shape for name, shape in weights.shapes.items() if name in expected}
    if found.keys() != expected.keys():
        heads = sorted(filter(is_head, weights.shapes))
        raise CheckpointError(
            f"Expected a checkpoint of {HEAD_CLASSES[head]} in {weights}, with {' and '.join(expected)}; "
            f"got the heads {heads}."
        )
    if found != expected:
        raise CheckpointError(f"Expected weights of shapes {expected}, got {found} in {weights}.")
