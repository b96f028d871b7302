"""Fine-tune a tagger on words, with labels aligned to their first pieces."""

import sys
from importlib import import_module

import torch
from transformers import DataCollatorForTokenClassification

WORDS = [["Clara", "was", "born", "in", "Coimbra", "."], ["张伟", "likes", "Paris"]]
TAGS = [[1, 0, 0, 0, 2, 0], [1, 0, 2]]


def run(library, path):
    torch.manual_seed(0)
    tokenizer = library.BloomTokenizerFast.from_pretrained(path, add_prefix_space=True)
    model = library.BloomForTokenClassification.from_pretrained(path, num_labels=3, hidden_dropout=0.0)
    batch = tokenizer(WORDS, is_split_into_words=True, truncation=True, max_length=24)
    rows = []
    for i, tags in enumerate(TAGS):
        words = batch.word_ids(batch_index=i)
        first = [n for n in range(len(words)) if n == 0 or words[n] != words[n - 1]]
        labels = [tags[words[n]] if n in first else -100 for n in range(len(words))]
        rows.append(
            {
                "input_ids": batch["input_ids"][i],
                "attention_mask": batch["attention_mask"][i],
                "labels": labels,
            }
        )
    inputs = DataCollatorForTokenClassification(tokenizer)(rows)
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=1e-2), []
    for _ in range(3):
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    with torch.no_grad():
        return [losses, inputs["labels"].tolist(), model.eval()(**inputs).logits.argmax(-1)[0].tolist()]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
