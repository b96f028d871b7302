"""How probable given texts are: continuations of prompts, and every piece of a text."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..bloom.heads import IGNORED_LABEL, BloomForCausalLM
from ..bloom.losses import piece_nll
from ..errors import InputError
from .running import RunningRows

# Continuations that run at once; bounds memory whatever the number of labels.
ROWS_AT_ONCE = 64


@torch.inference_mode()
def score_continuations(
    model: BloomForCausalLM,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[Sequence[int]]],
    *,
    rows_at_once: int = ROWS_AT_ONCE,
) -> list[list[list[float]]]:
    """Log-likelihoods of given continuations. A prompt is computed once, however many continuations it has, and
    so is what all prompts begin with.

    model (BloomForCausalLM): In evaluation mode.
    prompts (Sequence[Sequence[int]]): Ids of each, at least one.
    continuations (Sequence[Sequence[Sequence[int]]]): Of each prompt: the ids of each continuation, at least one.
    rows_at_once (int): Continuations that run at once.
    RETURNS (list[list[list[float]]]): Of each piece of each continuation its log-probability, in nats.
    RAISES (InputError): An empty prompt or continuation, an id outside the vocabulary, or not one list of
        continuations per prompt.
    """
    if len(prompts) != len(continuations):
        raise InputError(
            f"Expected one list of continuations per prompt, got {len(continuations)} lists for {len(prompts)} "
            "prompts."
        )
    flat = [(p, [int(i) for i in text]) for p, texts in enumerate(continuations) for text in texts]
    if not all(text for _, text in flat):
        raise InputError("Expected continuations of at least one piece each, got an empty one.")
    highest = max((max(text) for _, text in flat), default=0)
    if highest >= model.config.vocab_size or min((min(text) for _, text in flat), default=0) < 0:
        raise InputError(
            f"Expected ids of continuations from 0 to {model.config.vocab_size - 1}, got up to {highest}. "
            "Do tokenizer and model belong to the same checkpoint?"
        )
    found: list[list[list[float]]] = [[] for _ in prompts]
    if not flat:
        return found
    running = RunningRows(model)
    last = running.start([[int(i) for i in prompt] for prompt in prompts])  # (prompts, hidden_size)
    for start in range(0, len(flat), rows_at_once):
        part = flat[start : start + rows_at_once]
        owners = torch.tensor([p for p, _ in part])
        for (p, _), scores in zip(part, _scores(running.fork(owners), last, part), strict=True):
            found[p].append(scores)
    return found


def _scores(rows: RunningRows, last: Tensor, part: Sequence[tuple[int, Sequence[int]]]) -> list[list[float]]:
    """
    rows (RunningRows): Each at the end of its prompt.
    last (Tensor): Hidden states at the end of the prompts. Shape (prompts, hidden_size).
    part (Sequence[tuple[int, Sequence[int]]]): Of each row: its prompt, and its continuation.
    RETURNS (list[list[float]]): Log-probabilities of each row's pieces.
    """
    weight = rows.model.lm_head.weight
    texts = [text for _, text in part]
    before = last[torch.tensor([p for p, _ in part], device=last.device)][:, None]  # (rows, 1, hidden_size)
    # The last piece of a continuation is not fed: nothing follows it.
    fed = [text[:-1] for text in texts]
    states = (
        torch.cat((before, rows.feed(fed)), dim=1) if any(fed) else before
    )  # (rows, longest, hidden_size)
    labels = torch.full(states.shape[:2], IGNORED_LABEL)
    for row, text in enumerate(texts):
        labels[row, : len(text)] = torch.tensor(text)
    nll = piece_nll(states.flatten(0, 1), weight, labels.flatten().to(weight.device))
    return [(-row[: len(text)]).tolist() for row, text in zip(nll.view(labels.shape), texts, strict=True)]


@torch.inference_mode()
def surprisal(model: BloomForCausalLM, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
    """Surprisal of every piece, given those before it. Sequences of any lengths run packed.

    model (BloomForCausalLM): In evaluation mode.
    sequences (Sequence[Sequence[int]]): Ids of each; begin one with `<s>` or `</s>` to have its first word's too.
    RETURNS (list[list[float]]): In bits. The first piece of a sequence, which follows nothing, has NaN.
    """
    full = [[int(i) for i in sequence] for sequence in sequences if len(sequence)]
    if not full:
        return [[] for _ in sequences]
    weight = model.lm_head.weight
    ids = torch.tensor([i for sequence in full for i in sequence], device=weight.device)
    lengths = [len(sequence) for sequence in full]
    labels = torch.cat([torch.tensor([*s[1:], IGNORED_LABEL]) for s in full]).to(weight.device)
    hidden = model.transformer.encode_packed(ids, lengths)  # (pieces, hidden_size)
    bits = piece_nll(hidden, weight, labels) / math.log(2)
    parts = iter(bits.split(lengths))
    return [[math.nan, *next(parts)[:-1].tolist()] if len(s) else [] for s in sequences]
