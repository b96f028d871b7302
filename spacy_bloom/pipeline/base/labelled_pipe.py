"""What components whose outputs are labels have in common."""

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray
from spacy.training import Example

from ...errors import ConfigError
from ...thinc_layers.output_layer import found_outputs, has_output, set_output
from .head_pipe import HeadPipe


class LabelledPipe(HeadPipe):
    """Keeps the labels of a classifier, and takes new ones at any time."""

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Labels as they are on the Docs."""
        raise NotImplementedError

    @property
    def label_data(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): What `spacy init labels` writes to a file and `initialize` reads."""
        return self.labels

    def add_label(self, label: str) -> int:
        """Add a label. A classifier that has weights grows and keeps what it knows; the new label is not predicted
        until it is learnt.

        RETURNS (int): 1, or 0 if the label was known.
        RAISES (ConfigError): It is not text, or empty.
        """
        if not isinstance(label, str) or not label:
            raise ConfigError(f"Expected a label to be text that is not empty, got {label!r}.")
        self._load_checkpoint()
        if label in self.labels:
            return 0
        n_outputs = self._extend_labels([label])
        if has_output(self.model):
            set_output(self.model, n_outputs)
        return 1

    def _extend_labels(self, labels: Iterable[str]) -> int:
        """Add labels to `cfg`, those that are there excepted.

        RETURNS (int): The number of outputs.
        """
        raise NotImplementedError

    def certainties(
        self, predictions: Any, examples: Sequence[Example], temperature: float
    ) -> tuple[NDArray, NDArray]:
        """How sure the component is of what it predicts, and how often it is right; what has no gold annotation is left
        out.

        predictions (Any): From `predict`, with a temperature of 1.
        examples (Sequence[Example]): The Docs that they are of, beside gold ones.
        temperature (float): To bring to the probabilities.
        RETURNS (tuple[NDArray, NDArray]): Probability of each prediction, and whether it is right. Each of shape
            (predictions,).
        """
        raise NotImplementedError

    def _check_found(self) -> None:
        """See HeadPipe."""
        found = self.cfg[self.found_settings[0]]
        if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
            raise ValueError(f"{self.found_settings[0]} is {found!r:.80}, expected labels")
        if len(set(found)) < len(found):
            raise ValueError(f"{self.found_settings[0]} has labels twice: {found!r:.80}")
        for n_outputs in found_outputs(self.model):
            if n_outputs != len(found):
                raise ValueError(f"{len(found)} labels for {n_outputs} outputs")
