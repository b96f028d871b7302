"""A linear classifier over token vectors, alone or with a second one over the words."""

from typing import List, Optional

from spacy import registry
from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d

from ..errors import ConfigError
from .averaged_logits import averaged_logits, check_share
from .encoded_tok2vec import with_words
from .output_layer import find_head, load_output
from .transitions import transitions


@registry.architectures("spacy-bloom.TokenClassifier.v2")
def create_token_classifier_v2(
    tok2vec: Model[List[Doc], List[Floats2d]],
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
    nO: Optional[int] = None,
    embed: Optional[Model[List[Doc], List[Floats2d]]] = None,
    learn_transitions: bool = False,
    linear_model: Optional[Model[List[Doc], List[Floats2d]]] = None,
    linear_share: float = 0.5,
) -> Model[List[Doc], List[Floats2d]]:
    """Dropout and a linear layer on each token's vector, as in BloomForTokenClassification.

    tok2vec (Model): Token vectors, usually from a listener.
    encode (Optional[Model]): Layers in between, such as spacy.MaxoutWindowEncoder.v2, with vectors of their own
        width. A causal transformer does not see what follows a token; a window over the neighbouring vectors does.
    nO (Optional[int]): Number of tags; set from the labels if None.
    embed (Optional[Model]): Vectors of the words themselves, such as spacy.MultiHashEmbed.v2, beside those of the
        transformer: its pieces say little about rare names. Needs encode.
    learn_transitions (bool): Learn a score for each tag after each other, as a conditional random field does, and
        predict the best sequence of tags under them.
    linear_model (Optional[Model]): A second classifier, from Docs to logits of each token, such as
        spacy-bloom.NgramTokenClassifier.v1. Each learns by itself, and the mean of their logits counts; they share the
        scores of transitions.
    linear_share (float): Weight of its logits in that mean, from 0 to 1. Choose it on development data.
    RETURNS (Model): Docs to logits. Each of shape (tokens, nO).
    RAISES (ConfigError): embed without encode, or linear_share is not from 0 to 1.
    """
    check_share(linear_share)
    if embed is not None and encode is None:
        raise ConfigError(
            "Got embed without encode: the layers that combine it with the transformer's vectors."
        )
    vectors, hidden_size = with_words(tok2vec, embed)
    output_layer = Linear(nO, hidden_size if encode is None else encode.get_dim("nO"))
    classifier: Model[Floats2d, Floats2d] = chain(Dropout(), output_layer)
    if encode is None:
        model = chain(vectors, with_array(classifier))
    else:
        project: Model[Floats2d, Floats2d] = Linear(encode.get_dim("nO"), hidden_size)
        model = chain(vectors, with_array(project), encode, with_array(classifier))
    if linear_model is not None:
        model = averaged_logits(model, linear_model, linear_share, of_tokens=True)
    if learn_transitions:
        model = chain(model, transitions())
        model.set_ref("transitions", model.layers[-1])
    if linear_model is not None:
        model.set_ref("linear_model", linear_model)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("encode", encode)
    model.set_ref("output_layer", output_layer)
    return model


@registry.architectures("spacy-bloom.TokenClassifier.v1")
def create_token_classifier(
    tok2vec: Model[List[Doc], List[Floats2d]],
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
    nO: Optional[int] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """See `create_token_classifier_v2`; without vectors of the words, learned transitions and a second classifier."""
    return create_token_classifier_v2(tok2vec, encode, nO)


def load_classifier(model: Model, checkpoint: str) -> list[str]:
    """Load classifier and labels of a Hugging Face token-classification checkpoint.

    model (Model): A model made by `create_token_classifier_v2`.
    checkpoint (str): Directory or Hub name.
    RETURNS (list[str]): The tags, in the order of the outputs.
    RAISES (CheckpointError): The checkpoint has no such classifier.
    RAISES (ConfigError): The model has layers that the checkpoint does not have.
    """
    source, config = find_head(checkpoint)
    load_output(model, source, config, head="classifier", n_outputs=config.num_labels)
    return list(config.id2label.values())
