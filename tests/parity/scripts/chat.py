"""A chat whose answers are streamed, with the keys and values of earlier turns."""

import sys
from importlib import import_module
from threading import Thread

from transformers import TextIteratorStreamer

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}bot: {% endif %}"
)
TURNS = ["Hello!", "How high is the river?"]


def run(library, path):
    tokenizer = library.BloomTokenizerFast.from_pretrained(path)
    model = library.BloomForCausalLM.from_pretrained(path).eval()
    messages, answers = [], []
    for turn in TURNS:
        messages.append({"role": "user", "content": turn})
        inputs = tokenizer.apply_chat_template(
            messages,
            chat_template=TEMPLATE,
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        options = dict(**inputs, streamer=streamer, max_new_tokens=8, do_sample=False)
        thread = Thread(target=model.generate, kwargs=options)
        thread.start()
        parts = list(streamer)
        thread.join()
        answers.append(parts)
        messages.append({"role": "assistant", "content": "".join(parts)})
    return answers


if __name__ == "__main__":
    print(run(import_module(sys.argv[1]), sys.argv[2]))
