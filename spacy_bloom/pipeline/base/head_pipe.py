"""What components with a last layer of their own have in common; it may come from a Hugging Face checkpoint."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.api import Model, Optimizer, set_dropout_rate
from typing_extensions import Self

from ...errors import NotTrainedError
from ...thinc_layers.averaged_logits import classifiers
from ...thinc_layers.output_layer import has_output, keeping_output
from ...thinc_layers.saved_layers import reading
from ..saving import component_folder
from .saved_settings import keeping_settings
from .streaming import pipe_batches

N_SAMPLES = 10


class HeadPipe(TrainablePipe):
    """Loads the checkpoint's labels and last layer on first use, keeps them at initialisation, saves them even if
    they were never used, and raises an error when there are none.

    nlp (Language): The pipeline.
    model (Model): The model, with a reference "output_layer".
    name (str): Name of the component.
    scorer (Callable | None): Scores Examples.
    settings (Any): A settings object with a field `checkpoint` (a directory, a Hub name or None).
    found (Any): What training finds, such as labels. Kept in `cfg` with the settings.
    """

    checkpoint_kind: str  # what the checkpoint must be made for, in words
    found_settings: tuple[str, ...] = ()  # what is read from files: found in training ...
    open_settings: tuple[str, ...] = ()  # ... or found where the config has None

    def __init__(
        self,
        nlp: Language,
        model: Model,
        name: str,
        *,
        scorer: Callable | None,
        settings: Any,
        **found: Any,
    ) -> None:
        self.vocab = nlp.vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.cfg: dict[str, Any] = {**vars(settings), **found}

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

    def _run(self, docs: list[Doc]) -> Any:
        """RETURNS (Any): The model's output; None for Docs without any token, which its layers cannot run on."""
        return self.model.predict(docs) if any(len(doc) for doc in docs) else None

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        yield from pipe_batches(self, stream, batch_size)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. What has no gold annotation is left out.

        RETURNS (dict[str, float]): The losses, with the sum of this batch's cross entropies added, in nats.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not self._has_input(examples):
            return losses
        self._get_ready()
        set_dropout_rate(self.model, drop)
        losses[self.name] += self._learn(examples)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _has_input(self, examples: list[Example]) -> bool:
        return any(len(eg.predicted) for eg in examples)

    def _learn(self, examples: list[Example]) -> float:
        """RETURNS (float): The loss, after the backward pass."""
        # Each by itself: the slower one would learn from their mean only what the faster one does not know of the
        # training data yet, which is soon nothing.
        losses = [self._teach(classifier, examples) for classifier in classifiers(self.model)]
        return sum(losses) / len(losses)

    def _teach(self, model: Model, examples: list[Example]) -> float:
        """RETURNS (float): The loss of one model, after its backward pass."""
        scores, backprop = model.begin_update([eg.predicted for eg in examples])
        loss, d_scores = self.get_loss(examples, scores)
        backprop(d_scores)
        return loss

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
        with component_folder(path, exclude) as place:
            super().to_disk(place, exclude=exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """RETURNS (Self): The component, with what `to_bytes` has written."""
        with self._reading():
            return super().from_bytes(bytes_data, exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Read what `to_disk` has written.

        path (str | Path): Directory.
        exclude (Iterable[str]): Of "cfg", "vocab", "model".
        RETURNS (Self): The component.
        """
        with self._reading():
            return super().from_disk(path, exclude=exclude)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """RAISES (CheckpointError): What is read inside is damaged, or its parts do not fit together."""
        with reading(f"the component {self.name!r}", self.model):
            with keeping_settings(self.cfg, self.found_settings, self.open_settings):
                yield
            self._check_found()

    def _check_found(self) -> None:
        """RAISES (ValueError): What was read of settings is not what training finds, or does not fit the model."""
