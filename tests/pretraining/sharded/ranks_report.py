"""Trainings on two ranks, in one process group; then resumed by three. Arguments: folder of texts, folder to write."""

import json
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint
import torch.distributed.fsdp  # once, before the ranks are forked: it takes seconds
from forking import fork_ranks
from trainings import TRAININGS, make_model, make_trainer, run

from spacy_bloom import BloomForCausalLM
from spacy_bloom.parallel.ranks import ranks_together
from spacy_bloom.pretraining.sharded.engine import ShardedRanks
from spacy_bloom.pretraining.sharded.model import ShardedLM, empty_sharded, own_rows, shard_parts

FOLDER, OUT = (Path(path) for path in sys.argv[1:])


def train_all():
    with ranks_together(timeout=60) as rank:
        report = {kind: train(kind) for kind in TRAININGS}
        report["parts"] = read_parts(rank)
        report["from one process"] = resume("adamw", OUT / "of one")
        report["decisions"] = ShardedRanks(ShardedLM(make_model("adamw"))).agree(rank + 5.0, rank == 1)
        return report


def train(kind):
    dtype = getattr(torch, TRAININGS[kind].get("compute_dtype", "float32"))
    sharded = ShardedLM(make_model(kind), compute_dtype=dtype)
    engine = ShardedRanks(sharded)
    trainer = make_trainer(kind, FOLDER, OUT / kind, sharded.model, engine)
    found = run(trainer, stop=3)
    if engine.is_first:
        for use in ("three", "one"):
            shutil.copytree(OUT / kind, OUT / f"{kind} for {use}")
    found["held"] = sum(p.to_local().numel() for p in sharded.model.parameters())
    found["dtypes"] = sorted({str(p.dtype) for p in sharded.model.parameters()})
    trainer.stopping = False
    more = run(trainer)
    engine.save_checkpoint(OUT / kind / "model", dtype="float32")
    return {**found, "more": more}


def resume(kind, output):
    model = make_model(kind)
    sharded = empty_sharded(BloomForCausalLM, model.config, device="cpu")
    trainer = make_trainer(kind, FOLDER, output, sharded.model, ShardedRanks(sharded))
    trainer.resume()
    return run(trainer)


def read_parts(rank):
    """A checkpoint read part by part is the one that was written."""
    path, n_ranks = OUT / "adamw" / "model", dist.get_world_size()
    parts = BloomForCausalLM.from_pretrained(path, placement=own_rows(rank, n_ranks))
    shapes = {name: list(p.shape) for name, p in parts.named_parameters()}
    sharded = shard_parts(BloomForCausalLM, parts, device="cpu")
    whole = BloomForCausalLM.from_pretrained(path).state_dict()
    state = sharded.model.state_dict()
    equal = all(torch.equal(value.full_tensor(), whole[name]) for name, value in state.items())
    tied = sharded.model.lm_head.weight is sharded.model.transformer.word_embeddings.weight
    return {"shapes": shapes, "equal": equal, "tied": tied, "names": sorted(state) == sorted(whole)}


def resume_on_more():
    with ranks_together(timeout=60):
        return {kind: resume(kind, OUT / f"{kind} for three") for kind in ("adamw", "muon")}


if __name__ == "__main__":
    codes, _, two = fork_ranks(2, train_all)
    more_codes, _, three = fork_ranks(3, resume_on_more)
    print(json.dumps({"codes": codes + more_codes, "two": two, "three": three}))
