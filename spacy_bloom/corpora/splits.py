"""Samples dealt out to splits, so that nothing that belongs together is in two."""

import random
from collections import defaultdict
from typing import Dict, Hashable, List, Sequence, Tuple

from .samples import SPLITS, Sample

Group = List[Sample]


def split_samples(
    samples: Sequence[Sample], *, dev: float, test: float, seed: int
) -> Dict[str, List[Sample]]:
    """Put samples into the splits that their files say, and deal out the others. Groups of the same data sets are dealt
    out among themselves, so that each data set has its share everywhere.

    samples (Sequence[Sample]): The samples.
    dev, test (float): Shares of the samples whose files say no split.
    seed (int): Seed of the order in which groups are dealt out.
    RETURNS (dict[str, list[Sample]]): The samples by split.
    """
    splits: Dict[str, List[Sample]] = {split: [] for split in SPLITS}
    for sample in samples:
        if sample.split is not None:
            splits[sample.split].append(sample)
    kinds: Dict[Tuple[str, ...], List[Group]] = defaultdict(list)
    for group in group_samples([sample for sample in samples if sample.split is None]):
        kinds[tuple(sorted({sample.name for sample in group}))].append(group)
    for kind, groups in sorted(kinds.items()):
        groups.sort(key=lambda group: min((sample.name, sample.place) for sample in group))
        random.Random(f"{seed} {kind}").shuffle(groups)
        total, dealt = sum(map(len, groups)), 0
        end_of_test, end_of_dev = round(test * total), round((test + dev) * total)
        for group in groups:
            split = "test" if dealt < end_of_test else "dev" if dealt < end_of_dev else "train"
            splits[split] += group
            dealt += len(group)
    return splits


def group_samples(samples: Sequence[Sample]) -> List[Group]:
    """RETURNS (list[list[Sample]]): Samples that share a key, also through others, in the order of their first."""
    parent: Dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for sample in samples:
        for key in sample.keys[1:]:
            parent[root(key)] = root(sample.keys[0])
    groups: Dict[Hashable, Group] = defaultdict(list)
    for sample in samples:
        groups[root(sample.keys[0])].append(sample)
    return list(groups.values())
