"""What components share whose last layer may come from a Hugging Face checkpoint."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Self

from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import NotTrainedError
from ...thinc_layers.output_layer import has_output, keeping_output
from ..base.saved_settings import keeping_settings
from ..base.streaming import pipe_batches

N_SAMPLES = 10


class CheckpointHead(TrainablePipe):
    """Loads labels and last layer on first use, keeps them at initialisation, saves them even if they were
    never used, and says so when there are none. Before another base class, its methods go first.

    cfg["checkpoint"] (str | None): Directory or Hub name.
    checkpoint_kind (str): What the checkpoint must be made for, in words.
    found_settings (tuple[str, ...]): Which of cfg training finds, ...
    open_settings (tuple[str, ...]): ... and which where the config leaves them open; all others are the config's.
    """

    cfg: dict[str, Any]
    checkpoint_kind: str
    found_settings: tuple[str, ...] = ()
    open_settings: tuple[str, ...] = ()

    def _read_checkpoint(self) -> None:
        """Take labels and last layer from the checkpoint."""
        raise NotImplementedError

    def _load_checkpoint(self) -> None:
        if self.cfg["checkpoint"] is not None and not has_output(self.model):
            self._read_checkpoint()

    def _get_ready(self) -> None:
        self._load_checkpoint()
        if not has_output(self.model):
            raise NotTrainedError(
                f"{self.name!r} has no labels and no weights yet. Train it with `spacy train`, load a "
                f"trained pipeline, or name a Hugging Face {self.checkpoint_kind} checkpoint in its config."
            )

    def _initialize_model(self, get_examples: Callable[[], Iterable[Example]]) -> None:
        """Infer shapes from Docs with tokens, and draw the weights that do not come from a checkpoint."""
        sample = list(islice((eg.predicted for eg in get_examples() if len(eg.predicted)), N_SAMPLES))
        with keeping_output(self.model) if self.cfg["checkpoint"] is not None else nullcontext():
            self.model.initialize(X=sample or [Doc(self.vocab, words=["text"])])

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        yield from pipe_batches(self, stream, batch_size)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The component, with the checkpoint's classifier even if it was never used."""
        self._load_checkpoint()
        return super().to_bytes(exclude=exclude)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component, with the checkpoint's classifier even if it was never used.

        path (str | Path): Directory.
        exclude (Iterable[str]): Of "cfg", "vocab", "model".
        """
        self._load_checkpoint()
        super().to_disk(path, exclude=exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """RETURNS (Self): The component, with what `to_bytes` has written."""
        with keeping_settings(self.cfg, self.found_settings, self.open_settings):
            return super().from_bytes(bytes_data, exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Read what `to_disk` has written.

        path (str | Path): Directory.
        exclude (Iterable[str]): Of "cfg", "vocab", "model".
        RETURNS (Self): The component.
        """
        with keeping_settings(self.cfg, self.found_settings, self.open_settings):
            return super().from_disk(path, exclude=exclude)
