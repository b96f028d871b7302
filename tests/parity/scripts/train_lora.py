"""Fine-tune LoRA adapters by peft, save them, and generate with what is loaded."""

import sys
import tempfile
from importlib import import_module

import torch
from peft import LoraConfig, PeftModel, get_peft_model

TEXTS = ["The river was high in spring.", "Il pleut depuis ce matin."]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForCausalLM.from_pretrained(path)
    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=["query_key_value"])
    model = get_peft_model(model, config)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(4):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = PeftModel.from_pretrained(library.BloomForCausalLM.from_pretrained(path), folder).eval()
    prompt = tokenizer(TEXTS[0], return_tensors="pt")
    ids = again.generate(**prompt, max_new_tokens=6, do_sample=False)
    return [model.get_nb_trainable_parameters(), losses, tokenizer.decode(ids[0], skip_special_tokens=True)]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
