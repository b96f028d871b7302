"""How the models of pipelines are loaded: whole, divided among the processes of a run, or with layers over devices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..checkpoint.files import WeightSource
from ..checkpoint.load import SPREADS, load_model
from ..config import BloomConfig
from ..errors import InputError
from .ranks import ranks_together

_divided = False


@contextmanager
def tensor_parallel_pipelines(*, timeout: float | None = None) -> Iterator[int]:
    """Inside, pipelines that are loaded and used hold a rank's part of their models. All ranks load the same pipelines
    and stream the same Docs through them, with no further processes; all get the same annotations, and rank 0 is to
    write them. Nobody leaves before all have come to the end; if one fails, all do.

        with tensor_parallel_pipelines() as rank:
            nlp = spacy.load("my_pipeline")
            for doc in nlp.pipe(texts):
                ...

    timeout (float | None): Seconds to wait for a process that does not answer; None for 600.
    YIELDS (int): The number of this process.
    RAISES (InputError): This process is alone.
    RAISES (RankError): Another process failed, is gone, or did not answer in time.
    """
    global _divided
    with ranks_together(timeout=timeout) as rank:
        before, _divided = _divided, True
        try:
            yield rank
        finally:
            _divided = before


def spread_of(device_map: Any = None) -> str | None:
    """RETURNS (str | None): What tells a model of a pipeline that would be loaded now from one that is loaded whole."""
    if _divided and device_map is not None:
        raise InputError("Expected no device_map where models are divided among processes: set it to null.")
    return "tensor_parallel" if _divided else None if device_map is None else f"device_map {device_map}"


def load_for_pipeline(
    make: Any,
    config: BloomConfig,
    source: WeightSource,
    *,
    device: Any,
    device_map: Any = None,
    adapters: str | None = None,
    **options: Any,
) -> Any:
    """As `load_model`, in the way that holds now.

    device_map (Any): Of the settings.
    adapters (str | None): Where adapters of the model are; None if it has none.
    RETURNS (PretrainedMixin): The model.
    RAISES (InputError): There are adapters, and the models of pipelines are divided.
    """
    if adapters is not None and _divided:
        raise InputError(
            f"Got adapters in {adapters}, which cannot be divided among processes. Save the pipeline with lora.merge = "
            "true."
        )
    spread = spread_of(device_map)
    load: Callable[..., Any] = load_model if spread is None else SPREADS[spread.split()[0]]
    place = {"device": device} if device_map is None else {"device_map": device_map}
    return load(make, config, source, **place, **options)
