"""A training config for tasks, a language, a checkpoint and hardware, assembled from the parts of `training_tasks`."""

from copy import deepcopy
from typing import Any, Dict, Iterable, List, Sequence

from spacy import util
from thinc.api import Config

from ...errors import ConfigError
from ..inputs import find_language
from .training_tasks import COMMON, TASKS, TRANSFORMER, TRANSFORMER_CONFIG, Task

# Hidden sizes. From LARGE on (bloom-560m, the smallest published size), the learning rate is lower and a batch is read
# in parts, to hold fewer activations in memory; from LARGEST on (bloom-7b1), activations are recomputed as well.
LARGE, LARGEST = 1024, 4096
PARTS_OF_A_BATCH = 4
LEARN_RATE, LEARN_RATE_LARGE = 0.001, 0.00005
# Factors: a GPU needs larger batches than a CPU to be busy.
GPU_WORDS, GPU_PIECES = 2, 4


def choose_tasks(names: Sequence[str]) -> List[str]:
    """names (Sequence[str]): Names of tasks; each may hold several, separated by commas.
    RETURNS (list[str]): Each task once, in the order of their components in a pipeline.
    RAISES (ConfigError): A task is unknown, or two tasks write the same annotation.
    """
    wanted = {part.strip() for name in names for part in name.split(",")}
    unknown = sorted(wanted - TASKS.keys())
    if unknown or not wanted:
        got = ", ".join(map(repr, unknown)) or "none"
        raise ConfigError(f"Expected one or more of the tasks {', '.join(TASKS)}; got {got}.")
    chosen: Dict[str, str] = {}  # by what they write
    for name in (name for name in TASKS if name in wanted):
        other = chosen.setdefault(TASKS[name].writes, name)
        if other != name:
            raise ConfigError(
                f"{other!r} and {name!r} both write {TASKS[name].writes}: the second would overwrite the first. "
                "Choose one of them."
            )
    return list(chosen.values())


def make_config(
    names: Sequence[str],
    *,
    lang: str = "xx",
    checkpoint: str = "tiny-bloom",
    hidden_size: int,
    gpu: bool = False,
    accuracy: bool = False,
) -> Config:
    """Assemble a config and fill in all defaults, without reading weights or using the network.

    names (Sequence[str]): The tasks, as `choose_tasks` returns them.
    lang (str): As for `find_language`.
    checkpoint (str): Bundled name, directory or Hub name.
    hidden_size (int): The checkpoint's hidden size; large ones are trained with other settings.
    gpu (bool): Whether to train on a GPU.
    accuracy (bool): Train twice as long, with more context in each window and without rounding weights. Otherwise
        weights are stored in 16 bits, and a large checkpoint computes in bfloat16 on a GPU.
    RETURNS (Config): A complete, valid config.
    RAISES (ConfigError): spaCy does not know the language.
    """
    tasks = [TASKS[name] for name in names]
    config = Config().from_str(COMMON, interpolate=False)
    config["paths"]["checkpoint"] = checkpoint
    config["system"]["gpu_allocator"] = "pytorch" if gpu else None
    code, tokenizer = find_language(lang)
    config["components"] = _components(tasks)
    config["nlp"] = {
        "lang": code,
        "pipeline": list(config["components"]),
        "batch_size": min(task.batch_docs for task in tasks),
    }
    if tokenizer:
        config["nlp"]["tokenizer"] = dict(tokenizer)
    for component in config["components"].values():
        if "name" in component.get("model", {}):  # runs BLOOM
            _fit(component, hidden_size, gpu, accuracy)
    _set_training(config["training"], tasks, hidden_size, gpu, accuracy)
    filled = util.load_model_from_config(config, auto_fill=True, validate=True).config
    filled["training"]["score_weights"] = _score_weights(tasks, filled["training"]["score_weights"])
    return util.load_model_from_config(filled, validate=True).config  # complete: nothing more is filled in


def _components(tasks: Sequence[Task]) -> Dict[str, Any]:
    shared = {TRANSFORMER: TRANSFORMER_CONFIG} if any(task.shared for task in tasks) else {}
    return deepcopy({**shared, **{task.name: dict(task.component) for task in tasks}})


def _fit(component: Dict[str, Any], hidden_size: int, gpu: bool, accuracy: bool) -> None:
    """Adapt a component that runs BLOOM to hardware, size and purpose."""
    model = component["model"]
    if gpu:
        component["max_batch_items"] *= GPU_PIECES
    if accuracy:
        model["context"] = model["window"] // 2
        model["storage_dtype"] = "float32"
    elif gpu and hidden_size >= LARGE:
        model["dtype"] = model["storage_dtype"] = "bfloat16"
    if hidden_size >= LARGEST:
        model["gradient_checkpointing"] = True


def _set_training(
    training: Dict[str, Any], tasks: Sequence[Task], hidden_size: int, gpu: bool, accuracy: bool
) -> None:
    training["gpu_allocator"] = "${system.gpu_allocator}"
    training["seed"] = "${system.seed}"
    training["max_steps"] = max(task.max_steps for task in tasks) * (2 if accuracy else 1)
    training["batcher"]["size"] = min(task.batch_words for task in tasks) * (GPU_WORDS if gpu else 1)
    is_large = hidden_size >= LARGE
    training["optimizer"]["learn_rate"].update(
        initial_rate=LEARN_RATE_LARGE if is_large else LEARN_RATE,
        # A number: spaCy resolves the optimizer's section alone, where no reference to another can be followed.
        total_steps=training["max_steps"],
    )
    training["accumulate_gradient"] = PARTS_OF_A_BATCH if is_large else 1


def _score_weights(tasks: Sequence[Task], defaults: Iterable[str]) -> Dict[str, Any]:
    """defaults (Iterable[str]): The scores of everything that the components can write.
    RETURNS (dict[str, Any]): The same weight for each task, None for scores that no task asks for.
    """
    weights: Dict[str, Any] = dict.fromkeys(defaults)
    for task in tasks:
        weights.update((name, weight / len(tasks)) for name, weight in task.scores.items())
    return weights
