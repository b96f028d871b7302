"""Fine-tune a language model with Trainer, and load what it saved."""

import sys
import tempfile
from importlib import import_module

from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

TEXTS = ["The river was high in spring.", "Il pleut depuis ce matin.", "O café está frio.", "It rains."] * 2


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForCausalLM.from_pretrained(path)
    rows = [tokenizer(text, truncation=True, max_length=16) for text in TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=2, gradient_accumulation_steps=2, num_train_epochs=1,
            learning_rate=1e-3, logging_steps=1, save_strategy="epoch", eval_strategy="epoch",
            load_best_model_at_end=True, gradient_checkpointing=True, report_to=[], use_cpu=True, seed=1,
            disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=arguments, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer,
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        )  # fmt: skip
        trainer.train()
        trainer.save_model(folder)
        again = library.BloomForCausalLM.from_pretrained(folder)
        tokenizer = library.BloomTokenizerFast.from_pretrained(folder)
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    losses = [
        entry[key] for entry in trainer.state.log_history for key in ("loss", "eval_loss") if key in entry
    ]
    return [losses, again.eval()(**batch, labels=batch["input_ids"]).loss.item()]


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
