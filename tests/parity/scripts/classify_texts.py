"""Fine-tune a classifier of texts in a loop of torch, and predict."""

import sys
from importlib import import_module

import torch
from torch.optim import AdamW

TEXTS = ["a fine day", "a bad day", "fine bread", "bad bread"]
LABELS = torch.tensor([1, 0, 1, 0])


def run(library, path):
    torch.manual_seed(0)
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForSequenceClassification.from_pretrained(
        path, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    optimizer = AdamW(model.parameters(), lr=1e-3)
    batch, losses = tokenizer(TEXTS, padding=True, return_tensors="pt"), []
    model.train()
    for _ in range(3):
        outputs = model(**batch, labels=LABELS)
        outputs.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(outputs.loss.item())
    model.eval()
    with torch.no_grad():
        logits = model(**batch).logits
    return [losses, logits.tolist(), [model.config.id2label[i] for i in logits.argmax(-1).tolist()]]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
