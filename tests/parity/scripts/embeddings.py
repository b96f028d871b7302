"""Embeddings of sentences: the mean of the last hidden states, and cosines of pairs."""

import sys
from importlib import import_module

import torch
from torch.nn import functional as F

SENTENCES = ["The river was high.", "Il pleut depuis ce matin.", "यह किताब बहुत अच्छी है।"]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomModel.from_pretrained(path).eval()
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.no_grad():
        out = model(**batch, output_hidden_states=True)
    mask = batch["attention_mask"].unsqueeze(-1)
    means = (out[0] * mask).sum(1) / mask.sum(1)
    first = (out.hidden_states[1] * mask).sum(1) / mask.sum(1)
    vectors = F.normalize(torch.cat((means, first), dim=-1), dim=-1)
    return [len(out.hidden_states), (vectors @ vectors.T).tolist()]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
