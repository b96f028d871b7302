"""Faults of the machine: kill -9, a full disk, a folder that is read only, files that shrink, two writers.

After each, what is on the disk must be the old or the new, whole.
"""

import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import spacy
import torch
from safetensors.torch import load_file
from spacy.language import Language
from spacy.tokens import DocBin

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.applying.apply import apply_pipeline
from spacy_bloom.cli.train_lm import train_lm
from spacy_bloom.cli.train_pipeline import train_alone
from spacy_bloom.conversion.convert import convert_checkpoint, plan_conversion
from spacy_bloom.conversion.trim import plan_trimming, trim_checkpoint
from spacy_bloom.errors import BloomError
from spacy_bloom.pipeline.saving import save_pipeline

from . import _tiny
from ._killing import moments, run_forked
from .figures import Budget, Figure

ROOT = Path(__file__).parents[2]
OLD, NEW, REFUSED = "old", "new", "refused"
OTHERS = "old and new components"  # what spaCy's nlp.to_disk leaves
PARTS = ("bloom_transformer", "bloom_token_classifier", "bloom_text_classifier")
Tree = dict[str, bytes]


def below(whole: Tree, name: str) -> Tree:
    """RETURNS (dict[str, bytes]): The files in a folder of a folder."""
    return {path: content for path, content in whole.items() if path.startswith(f"{name}/")}


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of each kind of fault."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        place = Path(folder)
        kinds = list(KINDS)
        for number, kind in enumerate(kinds):
            share = budget.part(budget.inputs / len(kinds), budget.left / (len(kinds) - number))
            start = time.monotonic()
            own = place / str(number)
            own.mkdir()
            figure = KINDS[kind](kind, share, own)
            figure.seconds = time.monotonic() - start
            shutil.rmtree(own, ignore_errors=True)
            yield figure


def tree(path: Path) -> Tree:
    """RETURNS (dict[str, bytes]): All files below a folder; those on their way to a name are none."""
    files = (file for file in path.rglob("*") if file.is_file())
    names = ((file, file.relative_to(path)) for file in files)
    return {
        str(name): file.read_bytes() for file, name in names if not any(p.startswith(".") for p in name.parts)
    }


@dataclass
class Replaced:
    """A folder in which something new takes the place of something old.

    path (Path): The folder.
    write (Callable): Writes the new.
    load (Callable): Reads what is there; raises an error if it is not whole.
    in_place (bool): Whether only the folders in it are promised to be the old or the new, each by itself.
    write_old (Callable): Given what was old, writes it again, as the new is written.
    old, new (Tree): What the folder holds before and after.
    """

    path: Path
    write: Callable[[], object]
    load: Callable[[Path], object]
    in_place: bool = False
    write_old: Callable[[Path], object] = lambda before: None
    old: Tree = field(default_factory=dict)
    new: Tree = field(default_factory=dict)

    def learn(self, before: Path) -> tuple[float, int]:
        """before (Path): What is old.
        RETURNS (tuple[float, int]): Seconds that writing takes, and changes on the disk.
        """
        self.old = tree(before)
        self.reset(before)
        counted = self.path.parent / "counted"
        assert run_forked(self.write, root=self.path.parent, counted=counted) == 0
        self.reset(before)
        start = time.monotonic()
        assert run_forked(self.write, root=self.path.parent) == 0
        seconds = time.monotonic() - start
        self.new = tree(self.path)
        assert self.new != self.old
        return seconds, int(counted.read_text("utf8"))

    def reset(self, before: Path) -> None:
        """Make the folder old again, with nothing beside it."""
        for rest in self.path.parent.glob(f"*{self.path.name}*"):
            shutil.rmtree(rest)
        shutil.copytree(before, self.path)

    def restore(self, before: Path) -> None:
        """Write the old in place of what is there, as the new is written."""
        self.write_old(before)

    def state(self) -> str:
        """RETURNS (str): OLD, NEW, REFUSED, or what is wrong."""
        found = tree(self.path) if self.path.exists() else {}
        if found in (self.old, self.new):
            return OLD if found == self.old else NEW
        if self.in_place:
            whole = {name: (below(self.old, name), below(self.new, name)) for name in PARTS}
            broken = [name for name in PARTS if below(found, name) not in whole[name]]
            return f"neither: {', '.join(broken)}" if broken else OTHERS
        try:
            self.load(self.path)
        except Exception as error:
            return REFUSED if isinstance(error, (BloomError, OSError, ValueError)) else repr(error)
        mixed = sorted(name for name in {*found, *self.new} if found.get(name) != self.new.get(name))
        return f"loads, but is neither; not new: {', '.join(mixed)[:300]}"


def kill_replacing(
    kind: str, budget: Budget, make: Callable[[Path], tuple[Replaced, Path]], place: Path
) -> Figure:
    job, before = make(place)
    seconds, operations = job.learn(before)
    figure, states, rng = Figure(kind), Counter[str](), budget.random(kind)
    for moment in moments(rng, seconds, operations):
        if budget.left < 0 or figure.tried >= budget.inputs:
            break
        job.reset(before)
        code = run_forked(job.write, root=place, **moment)
        if code == 0:
            continue  # it was done sooner
        figure.tried += 1
        state = job.state() if code == -9 else f"exit code {code}"
        states[state if state in (OLD, NEW, REFUSED, OTHERS) else "mixed"] += 1
        if state not in (OLD, NEW, OTHERS):
            figure.found.append(f"{kind}, {moment}: {state}")
        elif figure.tried % 10 == 0:  # what was left does not disturb the next
            again = run_forked(job.write, root=place)
            if again != 0 or tree(job.path) != job.new or len(list(place.glob(f".{job.path.name}*"))):
                figure.found.append(f"{kind}, written again after {moment}: exit code {again}")
    figure.notes = dict(states)
    return figure


def two_pipelines(place: Path) -> tuple[Language, Language]:
    """RETURNS (tuple[Language, Language]): Pipelines whose weights and labels differ."""
    one = _tiny.trained(_tiny.write_checkpoint(place / "one", seed=1), seed=1)
    other = _tiny.trained(_tiny.write_checkpoint(place / "two", seed=2), seed=2, labels=("yes", "no"))
    return one, other


def saved_pipeline(
    save: Callable[[Language, Path], object], place: Path, *, in_place: bool = False
) -> tuple[Replaced, Path]:
    one, other = two_pipelines(place)
    one.to_disk(place / "before")
    path = place / "pipeline"
    job = Replaced(path, lambda: save(other, path), spacy.load, in_place, lambda before: save(one, path))
    return job, place / "before"


def load_checkpoint(path: Path) -> None:
    BloomForCausalLM.from_pretrained(path)
    BloomTokenizerFast.from_pretrained(path)


def converted(place: Path) -> tuple[Replaced, Path]:
    source = _tiny.write_checkpoint(place / "source", seed=2)
    _tiny.write_checkpoint(place / "before", seed=1, vocab_size=400)
    output = place / "output"

    def write() -> None:
        plan = plan_conversion(source, dtype=torch.float16)
        convert_checkpoint(plan, output, force=True, max_shard_size="30KB")

    return _of_checkpoints(output, write), place / "before"


def _of_checkpoints(output: Path, write: Callable[[], object]) -> Replaced:
    """RETURNS (Replaced): A checkpoint that a command replaces."""

    def convert_old(before: Path) -> None:
        convert_checkpoint(plan_conversion(before), output, force=True)

    return Replaced(output, write, load_checkpoint, write_old=convert_old)


def trimmed(place: Path) -> tuple[Replaced, Path]:
    source = _tiny.write_checkpoint(place / "source", seed=2)
    _tiny.write_checkpoint(place / "before", seed=1, vocab_size=400)
    output = place / "output"

    def write() -> None:
        trim_checkpoint(plan_trimming(source, _tiny.SENTENCES[:2]), output, force=True, check_texts=1)

    return _of_checkpoints(output, write), place / "before"


LM = {
    "tokenizer.vocab_size": 300,
    "model.hidden_size": 16,
    "model.n_layer": 1,
    "model.n_head": 2,
    "data.max_length": 16,
    "data.batch_pieces": 64,
    "data.held_back_every": 5,
    "training.max_steps": 12,
    "training.max_minutes": 0,
    "training.save_steps": 2,
    "training.eval_steps": 3,
}


def kill_train_lm(kind: str, budget: Budget, place: Path) -> Figure:
    """A run is killed again and again and resumed each time, until it is done."""
    texts = place / "texts"
    texts.mkdir()
    (texts / "en.txt").write_text("\n".join(f"{s} {i}" for i in range(12) for s in _tiny.SENTENCES), "utf8")
    config = ROOT / "configs" / "train_lm_tiny.cfg"

    def train(output: Path) -> None:
        train_lm(config, output, overrides={**LM, "paths.text": str(texts)}, resume=True)

    whole, output, counted = place / "whole", place / "output", place / "counted"
    assert run_forked(partial(train, whole), root=whole, counted=counted) == 0
    start = time.monotonic()
    assert run_forked(partial(train, place / "again"), root=whole) == 0
    seconds, operations = time.monotonic() - start, int(counted.read_text("utf8"))
    figure, rng, states = Figure(kind), budget.random(kind), Counter[str]()
    for moment in moments(rng, seconds, operations):
        if budget.left < 0 or figure.tried >= budget.inputs:
            break
        code = run_forked(partial(train, output), root=output, **moment)
        if code == -9:
            figure.tried += 1
            states["killed"] += 1
            figure.found += [f"{kind}, {moment}: {wrong}" for wrong in wrong_checkpoints(output)]
        elif code == 0:
            states["runs ended"] += 1
            figure.found += [f"{kind}: resumed, {wrong}" for wrong in differing_runs(whole, output)]
            shutil.rmtree(output)
        else:
            figure.found.append(f"{kind}, {moment}: exit code {code}")
            shutil.copytree(output, budget.kept / f"train-lm-{figure.tried}", dirs_exist_ok=True)
            shutil.rmtree(output)
    figure.notes = dict(states)
    return figure


def wrong_checkpoints(output: Path) -> Iterator[str]:
    for name in ("model-best", "model-last"):
        if (output / name).exists():
            try:
                load_checkpoint(output / name)
            except Exception as error:
                yield f"{name}: {error!r}"


def differing_runs(one: Path, other: Path) -> Iterator[str]:
    """YIELDS (str): What is not the same in two runs."""
    for name in ("model-best", "model-last", "tokenizer"):
        if tree(one / name) != tree(other / name):
            yield f"{name} differs"
    states = [load_file(path / "state" / "state.safetensors") for path in (one, other)]
    if states[0].keys() != states[1].keys() or any(not states[0][k].equal(states[1][k]) for k in states[0]):
        yield "the state differs"
    steps = [
        [row.split(",")[0] for row in (p / "history.jsonl").read_text("utf8").splitlines()]
        for p in (one, other)
    ]
    if steps[0] != steps[1]:
        yield f"evaluations differ: {steps}"


def kill_spacy_train(kind: str, budget: Budget, place: Path) -> Figure:
    """Its model-best and model-last must load, and hold a pipeline of this run, whenever they are there."""
    checkpoint = _tiny.write_checkpoint(place / "checkpoint")
    nlp = _tiny.trained(checkpoint)
    for name in ("train", "dev"):
        DocBin(docs=[eg.reference for eg in _tiny.examples(nlp)] * 3).to_disk(place / f"{name}.spacy")
    config = ROOT / "configs" / "token_classification.cfg"
    options = {
        "paths.train": str(place / "train.spacy"),
        "paths.dev": str(place / "dev.spacy"),
        "paths.checkpoint": str(checkpoint),
        "training.max_steps": 9,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    output = place / "output"

    def train() -> None:
        train_alone(config, output, use_gpu=-1, overrides=options)

    counted = place / "counted"
    code = run_forked(train, root=output, counted=counted)
    assert code == 0, code
    shutil.rmtree(output)
    start = time.monotonic()
    assert run_forked(train, root=output) == 0
    seconds, operations = time.monotonic() - start, int(counted.read_text("utf8"))
    figure, rng, states = Figure(kind), budget.random(kind), Counter[str]()
    for moment in moments(rng, seconds, operations):
        if budget.left < 0 or figure.tried >= budget.inputs:
            break
        before = {name: (output / name).exists() for name in ("model-best", "model-last")}
        if run_forked(train, root=output, **moment) == 0:
            continue
        figure.tried += 1
        for name in before:
            if not (output / name).exists():
                states["none yet"] += 1
                continue
            try:
                list(spacy.load(output / name).pipe(_tiny.SENTENCES[:2]))
                states["whole"] += 1
            except Exception as error:
                figure.found.append(f"{kind}, {moment}: {name}: {error!r}"[:300])
        if figure.tried % 4 == 0:
            shutil.rmtree(output, ignore_errors=True)
    figure.notes = dict(states)
    return figure


def kill_apply(kind: str, budget: Budget, place: Path) -> Figure:
    """A run is killed again and again until it is done; the files are those of a run that was not."""
    nlp = _tiny.trained(_tiny.write_checkpoint(place / "checkpoint"))
    nlp.to_disk(place / "pipeline")
    corpus = place / "texts.txt"
    corpus.write_text("\n".join(s.replace("\n", " ") for s in _tiny.SENTENCES * 8), "utf8")

    def annotate(output: Path) -> None:
        apply_pipeline(place / "pipeline", corpus, output, shard_size=4)

    whole, output, counted = place / "whole", place / "output", place / "counted"
    assert run_forked(partial(annotate, whole), root=whole, counted=counted) == 0
    start = time.monotonic()
    assert run_forked(partial(annotate, place / "again"), root=whole) == 0
    seconds, operations = time.monotonic() - start, int(counted.read_text("utf8"))
    expected = tree(whole)
    figure, rng, states = Figure(kind), budget.random(kind), Counter[str]()
    for moment in moments(rng, seconds, operations):
        if budget.left < 0 or figure.tried >= budget.inputs:
            break
        code = run_forked(partial(annotate, output), root=output, **moment)
        found = tree(output) if output.exists() else {}
        if code == -9:
            figure.tried += 1
            states["killed"] += 1
            wrong = sorted(name for name in found if found[name] != expected.get(name))
            figure.found += [f"{kind}, {moment}: {name} is not whole" for name in wrong]
        if code == 0:
            states["runs ended"] += 1
            if found != expected:
                figure.found.append(f"{kind}: the files differ from those of a whole run")
            shutil.rmtree(output)
        elif code != -9:
            figure.found.append(f"{kind}, {moment}: exit code {code}")
            shutil.rmtree(output)
    figure.notes = dict(states)
    return figure


KINDS: dict[str, Callable[[str, Budget, Path], Figure]] = {
    "kill -9 in nlp.to_disk": lambda k, b, p: kill_replacing(
        k, b, partial(saved_pipeline, lambda nlp, path: nlp.to_disk(path), in_place=True), p
    ),
    "kill -9 in save_pipeline": lambda k, b, p: kill_replacing(
        k, b, partial(saved_pipeline, save_pipeline), p
    ),
    "kill -9 in convert": lambda k, b, p: kill_replacing(k, b, converted, p),
    "kill -9 in trim-vocab": lambda k, b, p: kill_replacing(k, b, trimmed, p),
    "kill -9 in train-lm": kill_train_lm,
    "kill -9 in spacy train": kill_spacy_train,
    "kill -9 in apply": kill_apply,
}
