"""Token vectors for any of spaCy's components: a transformer's, words beside them, and layers over both."""

from typing import List, Optional

from spacy import registry
from spacy.tokens import Doc
from thinc.api import Linear, Model, chain, with_array
from thinc.types import Floats2d

from .joined_vectors import joined_vectors


@registry.architectures("spacy-bloom.EncodedTok2Vec.v1")
def create_encoded_tok2vec(
    tok2vec: Model[List[Doc], List[Floats2d]],
    encode: Model[List[Floats2d], List[Floats2d]],
    embed: Optional[Model[List[Doc], List[Floats2d]]] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """Layers over a transformer's token vectors, as spacy.Tok2Vec.v2 has them over embeddings. For components that take
    a tok2vec, such as spaCy's parser: a causal transformer does not see what follows a token, and its pieces say little
    about rare words.

    tok2vec (Model): Token vectors, usually from a listener.
    encode (Model): Layers over them, such as spacy.MaxoutWindowEncoder.v2, with vectors of their own width.
    embed (Optional[Model]): Vectors of the words themselves, such as spacy.MultiHashEmbed.v2, beside those of the
        transformer.
    RETURNS (Model): Docs to token vectors. Each of shape (tokens, encode's width).
    """
    vectors, width = with_words(tok2vec, embed)
    project: Model[Floats2d, Floats2d] = Linear(encode.get_dim("nO"), width)
    model = chain(vectors, with_array(project), encode)
    model.set_ref("tok2vec", tok2vec)
    return model


def with_words(
    tok2vec: Model[List[Doc], List[Floats2d]], embed: Optional[Model[List[Doc], List[Floats2d]]]
) -> tuple[Model[List[Doc], List[Floats2d]], Optional[int]]:
    """RETURNS (tuple[Model, Optional[int]]): Vectors of a transformer, beside them those of `embed` if there is one;
    and their width, as far as it is known.
    """
    width = tok2vec.maybe_get_dim("nO")
    if embed is None:
        return tok2vec, width
    return joined_vectors(tok2vec, embed), None if width is None else width + embed.get_dim("nO")
