"""The one place that knows how weights are called in BLOOM checkpoints.

Our modules have the checkpoints' own names, so that the table is almost empty: what differs between files is
whether the decoder's weights carry a `transformer.` prefix, and which head they come with.
"""

from collections.abc import Iterable

from ..errors import CheckpointError

PREFIX = "transformer."
TIED_HEAD = "lm_head.weight"
# The heads of BLOOM's classes. A file may hold one that the model at hand does not have: it is left unread.
# A model may have one that the file does not hold: it starts from random weights, with a warning.
HEADS = ("lm_head.", "classifier.", "score.", "qa_outputs.")


def is_head(name: str) -> bool:
    """RETURNS (bool): Whether a weight belongs to a head, not to the decoder."""
    return name.startswith(HEADS)


def match_names(in_file: Iterable[str], in_model: Iterable[str]) -> dict[str, str]:
    """Pair the weights of a file with those of a model, with or without the prefix on either side.

    RETURNS (dict[str, str]): The file's name of each weight, by the model's name. Weights of the file that
        are the model's under no spelling are left under the name that the model would have for them.
    RAISES (CheckpointError): The file holds a weight under both spellings.
    """
    in_model = set(in_model)
    prefixed = any(name.startswith(PREFIX) for name in in_model)
    pairs: dict[str, str] = {}
    for name in in_file:
        bare = name.removeprefix(PREFIX)
        own = PREFIX + bare if prefixed and not is_head(bare) else bare
        if own in pairs:
            raise CheckpointError(f"Got two weights for one: {pairs[own]} and {name}. Remove one of them.")
        pairs[own] = name
    return pairs
