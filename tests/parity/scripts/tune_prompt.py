"""Tune a prompt of virtual pieces by peft, and generate after it."""

import sys
from importlib import import_module

import torch
from peft import PromptTuningConfig, get_peft_model

TEXTS = ["The river was high in spring.", "Il pleut depuis ce matin."]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForCausalLM.from_pretrained(path)
    torch.manual_seed(0)
    model = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6))
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-2), []
    for _ in range(4):
        loss = model(**batch, labels=batch["input_ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    prompts = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
    ids = model.eval().generate(**prompts, max_new_tokens=6, do_sample=False)
    return [losses, tokenizer.batch_decode(ids, skip_special_tokens=True)]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
