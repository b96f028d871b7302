"""Labels of a classification head, named by number."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..settings import check, integer, shown

MAX_LABELS = 2**16
DEFAULT_LABELS = 2


def numbered_labels(count: Any) -> dict[int, str]:
    """RETURNS (dict[int, str]): Names for so many labels that have none.
    RAISES (ConfigError): No such count.
    """
    check("num_labels", count, integer(1, MAX_LABELS))
    return {i: f"LABEL_{i}" for i in range(count)}


def check_labels(id2label: Any, num_labels: Any = None) -> dict[int, str]:
    """id2label (Any): Labels by id; ids may be text, as in JSON.
    num_labels (Any): How many there are, if that was said too.
    RETURNS (dict[int, str]): In the order of ids, which are 0, 1, 2, ...
    RAISES (ConfigError): It is something else.
    """
    try:
        labels = {int(i): label for i, label in dict(id2label).items()}
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"Expected id2label as a mapping of ids to labels, got {shown(id2label)}."
        ) from None
    given = len(dict(id2label))  # fewer are left if two spellings are one id: "1" and "01"
    if not 1 <= given <= MAX_LABELS:
        raise ConfigError(f"Expected id2label with 1 to {MAX_LABELS} labels, got {given}.")
    if sorted(labels) != list(range(given)) or not all(isinstance(x, str) for x in labels.values()):
        raise ConfigError(
            f"Expected id2label with ids 0 to {given - 1} and text labels, got {shown(id2label)}."
        )
    if num_labels is not None and num_labels != given:
        raise ConfigError(f"Got num_labels={shown(num_labels)} but {given} labels in id2label.")
    return dict(sorted(labels.items()))


def inverse(label2id: Any) -> dict[Any, Any]:
    """label2id (Any): Ids by label.
    RETURNS (dict): Labels by id, for `check_labels`.
    RAISES (ConfigError): It is no mapping, or two labels have one id.
    """
    if not isinstance(label2id, Mapping):
        raise ConfigError(f"Expected label2id as a mapping of labels to ids, got {shown(label2id)}.")
    try:
        labels = {i: label for label, i in label2id.items()}
    except TypeError:  # ids that cannot be hashed
        labels = {}
    if len(labels) != len(label2id):
        raise ConfigError(f"Expected label2id with one id for each label, got {shown(label2id)}.")
    return labels
