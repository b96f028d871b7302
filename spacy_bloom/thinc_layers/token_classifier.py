"""A linear classifier over token vectors."""

from typing import List, Optional

from spacy import registry
from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d

from .output_layer import find_head, load_output


@registry.architectures("spacy-bloom.TokenClassifier.v1")
def create_token_classifier(
    tok2vec: Model[List[Doc], List[Floats2d]],
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
    nO: Optional[int] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """Dropout and a linear layer on each token's vector, as in BloomForTokenClassification.

    tok2vec (Model): Token vectors, usually from a listener.
    encode (Optional[Model]): Layers in between, such as spacy.MaxoutWindowEncoder.v2, with vectors of their own
        width. A causal transformer does not see what follows a token; a window over the neighbouring vectors does.
    nO (Optional[int]): Number of tags; set from the labels if None.
    RETURNS (Model): Docs to logits. Each of shape (tokens, nO).
    """
    hidden_size = tok2vec.maybe_get_dim("nO")
    output_layer = Linear(nO, hidden_size if encode is None else encode.get_dim("nO"))
    classifier: Model[Floats2d, Floats2d] = chain(Dropout(), output_layer)
    if encode is None:
        model = chain(tok2vec, with_array(classifier))
    else:
        project: Model[Floats2d, Floats2d] = Linear(encode.get_dim("nO"), hidden_size)
        model = chain(tok2vec, with_array(project), encode, with_array(classifier))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("encode", encode)
    model.set_ref("output_layer", output_layer)
    return model


def load_classifier(model: Model, checkpoint: str) -> list[str]:
    """Load classifier and labels of a Hugging Face token-classification checkpoint.

    model (Model): A model made by `create_token_classifier`.
    checkpoint (str): Directory or Hub name.
    RETURNS (list[str]): The tags, in the order of the outputs.
    RAISES (CheckpointError): The checkpoint has no such classifier.
    RAISES (ConfigError): The model has layers that the checkpoint does not have.
    """
    path, config = find_head(checkpoint)
    load_output(model, path, config, head="classifier", n_outputs=config.num_labels)
    return list((config.id2label or {}).values())
