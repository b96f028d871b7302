"""A pipeline whose models are divided among two ranks, beside the same one in one process."""

import json
import sys
import warnings

import spacy
import torch
from forking import fork_ranks

from spacy_bloom.parallel.pipelines import tensor_parallel_pipelines

TEXTS = [
    "Maria Silva mora em Lisboa desde 2019 e trabalha na biblioteca.",
    "The river was high in spring, and nobody crossed it before May.",
    "",
    "今天天气很好，我们去公园散步吧。",
    "Ama Mensah flew from Accra to Nairobi on Monday. She likes it.",
]
GENERATOR = {"prompt": "{{ doc.text }}", "max_new_tokens": 4, "upstream": "bloom_transformer"}


def load(name):
    nlp = spacy.load(name)
    nlp.add_pipe("bloom_text_generator", config=GENERATOR)
    nlp.add_pipe("bloom_zero_shot", config={"labels": ["good", "bad"]})  # two on one checkpoint
    nlp.add_pipe("bloom_surprisal")
    return nlp


def annotate(nlp):
    found = []
    for doc in nlp.pipe(TEXTS, batch_size=3):
        found.append(
            {
                "ents": [(ent.start, ent.end, ent.label_) for ent in doc.ents],
                "tags": [token.tag_ for token in doc],
                "generated": doc._.generated,
                "numbers": [*doc.cats.values(), *(token._.surprisal or 0.0 for token in doc)],
            }
        )
    return found


def holds(nlp):
    """Bytes of the transformer's weights, and whether components on one checkpoint share theirs."""
    shim = nlp.get_pipe("bloom_transformer").model.shims[0]
    own = [nlp.get_pipe(name).language_model for name in ("bloom_zero_shot", "bloom_surprisal")]
    addresses = [model.transformer.ln_f.weight.data_ptr() for model in own]
    upstream = nlp.get_pipe("bloom_text_generator").language_model.transformer is shim.module
    return sum(weight.nbytes for weight in shim.module.parameters()), addresses[0] == addresses[
        1
    ] and upstream


def work(name):
    warnings.simplefilter("ignore")
    with tensor_parallel_pipelines(timeout=60):
        nlp = load(name)
        return annotate(nlp), holds(nlp)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name = sys.argv[1]
    nlp = load(name)
    whole = annotate(nlp), holds(nlp)
    codes, _, results = fork_ranks(2, work, name)
    assert codes == [0, 0], codes
    print(json.dumps([whole, *results]))
