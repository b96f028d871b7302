"""`python -m spacy bloom init-config`: a complete training config."""

import shlex
from enum import Enum
from pathlib import Path
from typing import List, Tuple

from spacy.cli._util import COMMAND, Arg, Opt
from thinc.api import Config
from wasabi import msg

from ..conversion.description import Description
from ..errors import CheckpointError
from ..published import GEOMETRIES, OWNER
from .failures import check_file
from .info import describe
from .train.training_config import choose_tasks, make_config
from .train.training_tasks import TASKS

TASK_LIST = "\b\nTasks:\n" + "\n".join(
    f"  {name:<20}{task.writes:<22}{task.about}" for name, task in TASKS.items()
)


class Optimizations(str, Enum):
    efficiency = "efficiency"
    accuracy = "accuracy"


def init_config_cli(
    output_path: Path = Arg(..., help="File for the config, or - for stdout, which then gets nothing else", allow_dash=True),
    tasks: List[str] = Opt(..., "--pipeline", "-p", "--task", "-t", help="Task to learn; repeat the option, or separate several with commas; see the list below"),
    lang: str = Opt("xx", "--lang", "-l", help="spaCy's language code, several separated by commas, or xx for any mixture"),
    checkpoint: str = Opt("tiny-bloom", "--checkpoint", "-c", help="Bundled name, directory in the Hugging Face layout, Hub name, or published size (bloom-560m, ...)"),
    gpu: bool = Opt(False, "--gpu", "-G", help="Train on a GPU"),
    optimize: Optimizations = Opt(Optimizations.efficiency, "--optimize", "-o", help="accuracy: train twice as long, with more context in each window and without rounding weights"),
    force: bool = Opt(False, "--force", "-F", help="Overwrite the output file"),
) -> None:  # fmt: skip
    """
    Write a config for `spacy train`, for one task or for several on one
    shared BLOOM. Settings depend on the tasks, the language, the size of the
    checkpoint and the hardware. Only the checkpoint's config is read: no
    weights are loaded or fetched.
    """
    is_stdout = str(output_path) == "-"
    names = choose_tasks(tasks)
    name, described = find_described(checkpoint)
    check_file(output_path)
    if not is_stdout and output_path.exists() and not force:
        raise CheckpointError(f"{output_path} already exists. Use --force to overwrite it.")
    config = make_config(
        names,
        lang=lang,
        checkpoint=name,
        hidden_size=described.hidden_size,
        gpu=gpu,
        accuracy=optimize == Optimizations.accuracy,
    )
    if is_stdout:
        print(config.to_str())
        return
    _show_settings(config, names, described, gpu, optimize)
    if output_path.exists():
        msg.warn(f"Overwriting {output_path}")
    config.to_disk(output_path, interpolate=False)
    msg.good("Saved config", output_path)
    msg.text("You can now add your data and train your pipeline:")
    paths = "--output training --paths.train ./train.spacy --paths.dev ./dev.spacy"
    print(f"{COMMAND} train {shlex.quote(str(output_path))} {paths}{' --gpu-id 0' if gpu else ''}")


def find_described(checkpoint: str) -> Tuple[str, Description]:
    """checkpoint (str): Bundled name, directory, published size or Hub name.
    RETURNS (tuple[str, Description]): The name that loads it, and its description.
    RAISES (BloomError): There is no such checkpoint, or it cannot be trained.
    """
    if checkpoint in GEOMETRIES and not Path(checkpoint).is_dir():
        checkpoint = f"{OWNER}/{checkpoint}"
    described = describe(checkpoint)
    problem = described.problem
    if described.n_pieces is None:
        problem = "it has no tokenizer.json"
    elif Path(checkpoint).is_dir() and not described.dtypes:
        problem = problem or "it has no weights"
    if problem is not None:
        raise CheckpointError(f"{checkpoint} cannot be trained: {problem}.")
    return checkpoint, described


def _show_settings(
    config: Config, names: List[str], described: Description, gpu: bool, optimize: Optimizations
) -> None:
    training, nlp = config["training"], config["nlp"]
    dtypes = {c["model"]["dtype"] for c in config["components"].values() if "dtype" in c.get("model", {})}
    settings = {
        "Tasks": ", ".join(names),
        "Learns from": ", ".join(TASKS[name].writes for name in names),
        "Pipeline": ", ".join(nlp["pipeline"]),
        "Language": f"{nlp['lang']} ({nlp['tokenizer']['@tokenizers']})",
        "Checkpoint": f"{config['paths']['checkpoint']} ({described.parameters:,} parameters)",
        "Hardware": f"{'GPU' if gpu else 'CPU'}, computing in {', '.join(sorted(dtypes))}",
        "Optimize for": optimize.value,
        "Training": (
            f"{training['max_steps']:,} steps of {training['batcher']['size']:,} words, learning rate "
            + f"{training['optimizer']['learn_rate']['initial_rate']:.6f}".rstrip("0")
        ),
    }
    msg.info("Generated config for your use case")
    for label, value in settings.items():
        msg.text(f"- {label}: {value}")
    if not all(TASKS[name].shared for name in names) and len(names) > 1:
        msg.text("- qa reads questions and texts together, so it has its own BLOOM beside the shared one")
    if "bfloat16" in dtypes:
        msg.text(
            "- On a CPU, compute in float32: spacy.load(..., config={'components.NAME.model.dtype': 'float32'})"
        )
    msg.good("Auto-filled config with all values")
