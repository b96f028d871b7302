"""Probabilities of entities, from those of their tokens' tags."""

from spacy.language import Language
from spacy.tokens import Doc, Token

from ...pipeline.base.extensions import add_extension

ATTR = "bloom_tag_probabilities"


def keep_probabilities(nlp: Language) -> None:
    """Let the token classifiers of a pipeline write the probabilities of tags, where they do not already."""
    for name, pipe in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "bloom_token_classifier" and pipe.cfg["target"] == "ents":  # type: ignore[attr-defined]
            add_extension(Token, ATTR)
            pipe.cfg["scores_attr"] = ATTR  # type: ignore[attr-defined]


def entity_scores(doc: Doc) -> dict[int, float]:
    """RETURNS (dict[int, float]): By the first token of each entity, the mean probability over its tokens that they are
    in an entity of its label; empty if no component wrote probabilities.
    """
    if not Token.has_extension(ATTR) or any(token._.get(ATTR) is None for token in doc):
        return {}
    found = {}
    for ent in doc.ents:
        shares = [
            sum(share for tag, share in token._.get(ATTR).items() if tag.partition("-")[2] == ent.label_)
            for token in ent
        ]
        found[ent.start] = sum(shares) / len(shares)
    return found
