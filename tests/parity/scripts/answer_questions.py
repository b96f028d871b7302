"""Find the best span of a context for a question."""

import sys
from importlib import import_module

import torch

CONTEXT = "The river was high in spring, and nobody crossed it before May."
QUESTIONS = ["When was the river high?", "Who crossed it?"]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForQuestionAnswering.from_pretrained(path).eval()
    found = []
    for question in QUESTIONS:
        inputs = tokenizer(
            question, CONTEXT, truncation="only_second", max_length=32, stride=8, padding=True,
            return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt",
        )  # fmt: skip
        offsets, _ = inputs.pop("offset_mapping"), inputs.pop("overflow_to_sample_mapping")
        with torch.no_grad():
            out = model(**inputs)
        for i in range(len(offsets)):
            inside = torch.tensor([part == 1 for part in inputs.sequence_ids(i)])
            start = out.start_logits[i].masked_fill(~inside, -1e9).argmax().item()
            end = out.end_logits[i].masked_fill(~inside, -1e9)[start:].argmax().item() + start
            found += [CONTEXT[offsets[i][start][0] : offsets[i][end][1]], out.start_logits[i, start].item()]
    return found


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
