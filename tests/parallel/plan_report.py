"""What two ranks hold and allocate while they generate and train."""

import json
import sys
import weakref
from pathlib import Path

import torch
import torch.distributed.fsdp  # once, before the ranks are forked: it takes seconds
from forking import fork_ranks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.parallel.ranks import ranks_together
from spacy_bloom.pretraining.data import Batch
from spacy_bloom.pretraining.sharded.model import ShardedLM


class Allocated(TorchDispatchMode):
    """Bytes of the tensors that are made inside and alive. What oneDNN packs is none."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        given = {self.memory(value)._cdata for value in tree_iter((args, kwargs)) if self.memory(value)}
        for value in tree_iter(output):
            memory = self.memory(value)
            if memory is not None and memory._cdata not in self.sizes and memory._cdata not in given:
                self.sizes[memory._cdata] = memory.nbytes()
                self.now += memory.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(memory, self.forget, memory._cdata)
        return output

    @staticmethod
    def memory(value):
        plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
        return value.untyped_storage() if plain else None

    def forget(self, key):
        self.now -= self.sizes.pop(key, 0)


def generate(path, batch, length, dtype):
    model = BloomForCausalLM.from_pretrained(path, tensor_parallel=True, dtype=dtype)
    ids = torch.randint(3, model.config.vocab_size, (batch, length - 4))
    with Allocated() as allocated:
        list(model.generate_stream(ids.tolist(), max_new_tokens=4, eos_token_id=None))
    return sum(weight.nbytes for weight in model.parameters()), allocated.peak


def train(path, batch, length, dtype):
    model = BloomForCausalLM(BloomConfig.from_json_file(path / "config.json")).train()
    model.gradient_checkpointing_enable()
    sharded = ShardedLM(model, compute_dtype=getattr(torch, dtype))
    optimizer = torch.optim.AdamW(sharded.parameters())
    ids = torch.randint(3, model.config.vocab_size, (batch * length,))
    with Allocated() as allocated:
        for _ in range(2):
            sharded.loss(Batch(ids, ids.clone(), [length] * batch), 0).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    return sum(weight.to_local().nbytes for weight in sharded.parameters()), allocated.peak


def work(folder, runs):
    found = []
    with ranks_together(timeout=60):
        for way, name, *options in runs:
            found.append({"generate": generate, "train": train}[way](folder / name, *options))
    return found


if __name__ == "__main__":
    codes, _, results = fork_ranks(2, work, Path(sys.argv[1]), json.loads(sys.argv[2]))
    assert codes == [0, 0], codes
    print(json.dumps(results))
