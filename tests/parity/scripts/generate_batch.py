"""Continue prompts of several lengths in one batch."""

import sys
from importlib import import_module

PROMPTS = ["The river was", "Il pleut depuis ce matin ; les enfants", "今天天气很好"]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path, padding_side="left")
    model = library.BloomForCausalLM.from_pretrained(path)
    model.eval()
    inputs = tokenizer(PROMPTS, return_tensors="pt", padding=True).to(model.device)
    found = []
    for options in (
        {"do_sample": False},
        {"num_beams": 3, "no_repeat_ngram_size": 2, "early_stopping": True},
        {"repetition_penalty": 1.3, "min_new_tokens": 4},
    ):
        ids = model.generate(**inputs, max_new_tokens=8, pad_token_id=tokenizer.pad_token_id, **options)
        found += tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return found


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
