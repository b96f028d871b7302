"""What one, two and eight virtual devices compute, as JSON: to be run in a process of its own, as the number of
devices is fixed when JAX starts.

    python mesh_report.py one_checkpoint 1x1 1x2 other_checkpoint 1x1 2x2
"""

import json
import re
import sys
from collections import Counter

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from spacy_bloom.bloom_jax import FlaxBloomForCausalLM, TrainState, train_step
from spacy_bloom.bloom_jax.model import run
from spacy_bloom.bloom_jax.placement import place_rows
from spacy_bloom.checkpoint.files import WeightFiles

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
IDS = np.random.default_rng(0).integers(3, 60, (4, 16), dtype=np.int32)
MASK = np.ones_like(IDS)
MASK[1, :5] = 0
OPTIMIZER = optax.sgd(1e-2, momentum=0.9)

read = Counter()
whole_part = WeightFiles.part


def counted_part(self, name, slices):
    part = whole_part(self, name, slices)
    read[name] += part.nbytes
    return part


jax.config.update("jax_disable_most_optimizations", True)
WeightFiles.part = counted_part


def report(path, shape):
    devices = np.array(jax.devices()[: shape[0] * shape[1]]).reshape(shape)
    read.clear()
    model = FlaxBloomForCausalLM.from_pretrained(path, mesh=Mesh(devices, ("data", "model")))
    result = {"read": read.total(), "held": held(model.params.values(), devices.flat[0])}
    inputs = place_rows(model.mesh, (IDS, MASK, None, None, None))
    compiled = run.lower(
        model.module, model.config, model.params, *inputs, attentions=False, states=False
    ).compile()
    result["collectives"] = collectives(compiled.as_text())
    result["logits"] = np.asarray(compiled(model.params, *inputs).logits).tolist()
    sequences = model.generate(IDS, MASK, max_new_tokens=6, eos_token_id=None).sequences
    result["greedy"] = np.asarray(sequences).tolist()
    state, losses = TrainState.create(model, OPTIMIZER), []
    result["optimizer"] = held(jax.tree.leaves(state.opt_state), devices.flat[0])
    for _ in range(2):
        state, loss = train_step(model, OPTIMIZER, state, IDS, attention_mask=MASK)
        losses.append(float(loss))
    result["losses"] = losses
    result["trained"] = {name: np.asarray(weight).tolist() for name, weight in state.params.items()}
    result["held after training"] = held(state.params.values(), devices.flat[0])
    return result


def collectives(text):
    """Operations between devices in a compiled program, by name."""
    counts = {name: text.count(f" {name}(") + text.count(f" {name}-start(") for name in COLLECTIVES}
    return {name: count for name, count in counts.items() if count}


def held(arrays, device):
    """Bytes of these arrays on one device."""
    shards = [shard for array in arrays for shard in array.addressable_shards if shard.device == device]
    return sum(shard.data.nbytes for shard in shards)


if __name__ == "__main__":
    path, found = "", {}
    for word in sys.argv[1:]:
        if re.fullmatch(r"\d+x\d+", word):
            found[path][word] = report(path, tuple(map(int, word.split("x"))))
        else:
            path, found[word] = word, {}
    print(json.dumps(found))
