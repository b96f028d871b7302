import copy
import math

import pytest
import torch
from torch.nn import functional as F

from spacy_bloom.errors import InputError
from spacy_bloom.generation.running import RunningRows
from spacy_bloom.generation.scoring import last_states, score_continuations, surprisal


def slow_scores(model, prompt, continuation):
    """Log-probabilities from one forward pass over the whole row."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *continuation]])).logits[0].double()
    log_probabilities = F.log_softmax(logits, dim=-1)
    first = len(prompt) - 1
    return [log_probabilities[first + i, piece].item() for i, piece in enumerate(continuation)]


@pytest.mark.parametrize("max_batch_items", [1, 40, 10_000])
@pytest.mark.parametrize("prefix", [0, 20])
def test_scores_are_those_of_one_forward_pass_each(language_model, draw_prompts, max_batch_items, prefix):
    start = draw_prompts(prefix, seed=9)[0]
    prompts = [start + rest for rest in draw_prompts(5, 1, 12)]
    continuations = [draw_prompts(3, 1, 1, 7, seed=1), [], draw_prompts(1, 1, seed=2)]
    found = score_continuations(language_model, prompts, continuations, max_batch_items=max_batch_items)
    assert [len(texts) for texts in found] == [4, 0, 2]
    for prompt, texts, scores in zip(prompts, continuations, found, strict=True):
        for text, score in zip(texts, scores, strict=True):
            assert score == pytest.approx(slow_scores(language_model, prompt, text), abs=1e-5)


def test_a_prompt_is_computed_once(language_model, draw_prompts):
    rows = []
    hook = language_model.transformer.h[0].register_forward_pre_hook(
        lambda _, args: rows.append(args[0].shape[:2].numel())
    )
    score_continuations(language_model, draw_prompts(50), [draw_prompts(*[2] * 30, seed=1)])
    hook.remove()
    assert sum(rows) == 50 + 30


@pytest.mark.parametrize(
    "prompts, continuations, message",
    [
        ([[4]], [], "0 lists for 1 prompts"),
        ([[4]], [[[]]], "got an empty one"),
        ([[]], [[[4]]], "at least one piece"),
        ([[4]], [[[5], [6, 97]]], "from 0 to 96, got 5 to 97"),
    ],
)
def test_what_does_not_fit(language_model, prompts, continuations, message):
    with pytest.raises(InputError, match=message):
        score_continuations(language_model, prompts, continuations)


def test_a_model_in_training_mode_is_refused(language_model, draw_prompts):
    model = copy.deepcopy(language_model).train()
    with pytest.raises(InputError, match="eval"):
        surprisal(model, draw_prompts(3))
    with pytest.raises(InputError, match="eval"):
        score_continuations(model, draw_prompts(3), [draw_prompts(2)])
    with pytest.raises(InputError, match="eval"):
        last_states(model, draw_prompts(3), [1])


def test_surprisal(language_model, draw_prompts):
    sequences = [*draw_prompts(7, 1, 30), []]
    found = surprisal(language_model, sequences)
    for sequence, bits in zip(sequences, found, strict=True):
        assert len(bits) == len(sequence)
        if sequence:
            assert math.isnan(bits[0])
            nats = [-x * math.log(2) for x in bits[1:]]
            expected = slow_scores(language_model, sequence[:1], sequence[1:])
            assert nats == pytest.approx(expected, abs=1e-5)
    assert surprisal(language_model, []) == []


def test_surprisal_of_wrong_ids(language_model):
    with pytest.raises(InputError, match="from 0 to 96, got 4 to 97"):
        surprisal(language_model, [[4, 97]])


def test_last_states(language_model, draw_prompts):
    """Context counts, and is left out; ids may be tensors."""
    sequences = draw_prompts(7, 1, 30)
    counts = [2, 1, 30]
    found = last_states(language_model, sequences, counts)
    with torch.no_grad():
        each = [language_model.transformer(torch.tensor([s])).last_hidden_state[0] for s in sequences]
    expected = torch.cat([states[-count:] for states, count in zip(each, counts, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    again = last_states(language_model, [torch.tensor(s) for s in sequences], [7, 1, 30])
    torch.testing.assert_close(again, torch.cat(each), atol=1e-5, rtol=1e-5)


def test_the_budget_bounds_prompts_with_their_continuations(language_model, draw_prompts, monkeypatch):
    sizes, fork = [], RunningRows.fork

    def counted(self, rows, *, room=0):
        sizes.append(len(rows) * (self.cache.length + room))
        return fork(self, rows, room=room)

    monkeypatch.setattr(RunningRows, "fork", counted)
    prompts = draw_prompts(4)
    continuations = [draw_prompts(*[2 + i % 20 for i in range(60)], seed=1)]
    found = score_continuations(language_model, prompts, continuations, max_batch_items=100)
    assert len(sizes) > 5 and max(sizes) <= 100
    together = score_continuations(language_model, prompts, continuations, max_batch_items=10_000)
    for one, other in zip(found[0], together[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
