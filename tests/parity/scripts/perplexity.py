"""Perplexity of a text, in windows that overlap."""

import sys
from importlib import import_module

import torch

TEXT = "The river was high in spring, and nobody crossed it before May. Il pleut depuis ce matin. " * 3


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForCausalLM.from_pretrained(path, torch_dtype=torch.float32).eval()
    input_ids = tokenizer(TEXT, return_tensors="pt").input_ids
    window, stride, end_before, losses, n_scored = 32, 16, 0, [], 0
    for begin in range(0, input_ids.size(1), stride):
        end = min(begin + window, input_ids.size(1))
        n_new = end - end_before
        part = input_ids[:, begin:end]
        labels = part.clone()
        labels[:, :-n_new] = -100
        with torch.no_grad():
            loss = model(part, labels=labels).loss
        n_labels = (labels[:, 1:] != -100).sum().item()
        losses.append(loss * n_labels)
        n_scored += n_labels
        end_before = end
        if end == input_ids.size(1):
            break
    return torch.exp(torch.stack(losses).sum() / n_scored).item()


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
