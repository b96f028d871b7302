import pytest
import torch

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast


@pytest.fixture(scope="module")
def model(checkpoint):
    return BloomForCausalLM.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


def test_the_last_piece_may_grow(model, tokenizer):
    """The best of the pieces that begin as the last one."""
    (ids,) = tokenizer(["The river w"], return_tensors="pt")["input_ids"]
    tail = tokenizer.convert_ids_to_tokens(int(ids[-1]))
    longer = [i for i in range(len(tokenizer)) if tokenizer.convert_ids_to_tokens(i).startswith(tail)]
    assert len(longer) > 1
    with torch.no_grad():
        scores = model(ids[None, :-1]).logits[0, -1]
    scores[ids[-1]] += 1.0
    best = max(longer, key=lambda i: float(scores[i]))
    found = model.generate(ids[None], tokenizer=tokenizer, token_healing=True, max_new_tokens=2)
    assert found[0, : len(ids)].tolist() == [*ids[:-1].tolist(), best]
