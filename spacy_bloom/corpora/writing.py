"""`.spacy` files: one for each split, and of dev and test one for each data set too."""

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Collection, Dict, List, Mapping, Sequence, Set, Tuple

from spacy.tokens import Doc, DocBin

from ..files import write_file
from .samples import SPLITS, Sample

Report = Dict[Tuple[str, str], Counter]  # counts by data set and split


def write_corpus(
    splits: Mapping[str, Sequence[Sample]], target: Path, *, known: Collection[str] = (), seed: int = 0
) -> Report:
    """Write `<split>.spacy` with all data sets together, and `<split>.<name>.spacy` for dev and test.

    Files of data sets that an earlier conversion has left there are removed.

    splits (Mapping[str, Sequence[Sample]]): Samples by split.
    target (Path): Folder for the files; created if needed.
    known (Collection[str]): Names of all data sets of the source, whose files may be there.
    seed (int): Seed of the order of the training Docs.
    RETURNS (Report): How many there are of what.
    """
    report: Report = {}
    written: Set[Path] = set()
    target.mkdir(parents=True, exist_ok=True)
    for split, samples in splits.items():
        docs: Dict[str, List[Doc]] = defaultdict(list)
        for sample in samples:
            docs[sample.name].append(sample.doc)
            counts = report.setdefault((sample.name, split), Counter())
            counts.update(docs=1, tokens=len(sample.doc), **sample.counts)
        together = [doc for own in docs.values() for doc in own]
        if split == "train":
            random.Random(seed).shuffle(together)
        else:
            written.update(_save(own, target / f"{split}.{name}.spacy") for name, own in docs.items())
        if together:
            written.add(_save(together, target / f"{split}.spacy"))
    _remove_others(target, written, known)
    return report


def _save(docs: List[Doc], path: Path) -> Path:
    """RETURNS (Path): The path that the Docs were written to."""
    write_file(path, DocBin(docs=docs, store_user_data=True).to_bytes())
    return path


def _remove_others(target: Path, written: Collection[Path], names: Collection[str]) -> None:
    """Remove the files of an earlier conversion, because evaluation reads every file of a folder."""
    for split in SPLITS:
        for path in (target / f"{split}.spacy", *(target / f"{split}.{name}.spacy" for name in names)):
            if path not in written:
                path.unlink(missing_ok=True)
