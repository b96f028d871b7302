"""Log-likelihoods of given texts: continuations of prompts, and every piece of a text."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..bloom.heads import BloomLanguageModel
from ..errors import InputError
from .running import RunningRows, affordable_pieces, expect_evaluation, expect_ids


@torch.inference_mode()
def score_continuations(
    model: BloomLanguageModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[Sequence[int]]],
    *,
    max_batch_items: int | None = None,
) -> list[list[list[float]]]:
    """Log-likelihoods of given continuations. A prompt is computed once for all its continuations, and a common prefix
    once for all prompts.

    model (BloomLanguageModel): In evaluation mode.
    prompts (Sequence[Sequence[int]]): Ids of each, at least one.
    continuations (Sequence[Sequence[Sequence[int]]]): For each prompt, the ids of each continuation, at least one.
    max_batch_items (int | None): Maximum number of pieces whose keys and values are in memory at once, for prompts and
        again for continuations; a longer prompt is computed alone. None for what `affordable_pieces` says.
    RETURNS (list[list[list[float]]]): The log-probability of each piece of each continuation, in nats.
    RAISES (InputError): An empty prompt or continuation, an id outside the vocabulary, or not one list of
        continuations per prompt.
    """
    if len(prompts) != len(continuations):
        raise InputError(
            f"Expected one list of continuations per prompt, got {len(continuations)} lists for {len(prompts)} "
            "prompts."
        )
    max_batch_items = affordable_pieces(model) if max_batch_items is None else max_batch_items
    texts = [[[int(i) for i in text] for text in own] for own in continuations]
    if not all(text for own in texts for text in own):
        raise InputError("Expected continuations of at least one piece each, got an empty one.")
    expect_ids([text for own in texts for text in own], model)
    scores: list[list[list[float]]] = [[] for _ in prompts]
    # Prompts of similar length are computed together.
    order = sorted(range(len(prompts)), key=lambda p: -len(prompts[p]))
    while order:
        together = order[: max(1, max_batch_items // max(len(prompts[order[0]]), 1))]
        order = order[len(together) :]
        found = _score([prompts[p] for p in together], [texts[p] for p in together], model, max_batch_items)
        for p, own in zip(together, found, strict=True):
            scores[p] = own
    return scores


def _score(
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[list[int]]],
    model: BloomLanguageModel,
    max_batch_items: int,
) -> list[list[list[float]]]:
    running = RunningRows(model, capacity=max(map(len, prompts)))
    first = F.log_softmax(model.lm_head.logits(running.start(prompts)), dim=-1)  # (prompts, vocab_size)
    scores = [[[first[p, text[0]].item()] for text in own] for p, own in enumerate(texts)]
    longer = [(p, t) for p, own in enumerate(texts) for t, text in enumerate(own) if len(text) > 1]
    # Those of similar length together, so that few are padded.
    longer.sort(key=lambda at: -len(texts[at[0]][at[1]]))
    while longer:
        prompt, text = longer[0]
        length = running.cache.length + len(texts[prompt][text]) - 1  # of the longest that is left
        part = longer[: max(1, max_batch_items // length)]
        longer = longer[len(part) :]
        found = _rest(running, [p for p, _ in part], [texts[p][t] for p, t in part])
        for (p, t), rest in zip(part, found, strict=True):
            scores[p][t] += rest
    return scores


def _rest(running: RunningRows, of: Sequence[int], texts: Sequence[list[int]]) -> list[list[float]]:
    """
    running (RunningRows): Each row at the end of its prompt.
    of (Sequence[int]): The number of each text's prompt.
    texts (Sequence[list[int]]): The continuations.
    RETURNS (list[list[float]]): Log-probabilities of each text's pieces after its first.
    """
    lengths = [len(text) - 1 for text in texts]  # nothing follows the last
    rows = running.fork(torch.tensor(of), room=max(lengths))
    states = rows.feed([text[:-1] for text in texts])  # (rows, longest, hidden_size)
    real = torch.cat([row[:n] for row, n in zip(states, lengths, strict=True)])  # (pieces, hidden_size)
    labels = torch.tensor([piece for text in texts for piece in text[1:]], device=real.device)
    nll = running.model.lm_head.nll(real, labels)
    return [(-part).tolist() for part in nll.split(lengths)]


@torch.inference_mode()
def surprisal(model: BloomLanguageModel, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
    """Surprisal of every piece, given those before it. Sequences of any lengths run packed.

    The softmax is over all rows of the embedding, as in Hugging Face: the unused rows of published BLOOM keep the
    little probability they have.

    model (BloomLanguageModel): In evaluation mode.
    sequences (Sequence[Sequence[int]]): Ids of each. Prepend `</s>` to score the first word too.
    RETURNS (list[list[float]]): In bits; NaN for the first piece of a sequence.
    RAISES (InputError): An id outside the vocabulary, or a model in training mode.
    """
    expect_evaluation(model)
    full = [[int(i) for i in sequence] for sequence in sequences]
    expect_ids(full, model)
    longer = [sequence for sequence in full if len(sequence) > 1]
    parts: Iterator[list[float]] = iter(())
    if longer:
        lengths = [len(sequence) - 1 for sequence in longer]  # nothing follows the last
        states = last_states(model, [sequence[:-1] for sequence in longer], lengths)
        labels = torch.tensor([i for sequence in longer for i in sequence[1:]], device=states.device)
        bits = model.lm_head.nll(states, labels) / math.log(2)
        parts = (part.tolist() for part in bits.split(lengths))
    return [[math.nan, *(next(parts) if len(s) > 1 else ())] if s else [] for s in full]


@torch.inference_mode()
def last_states(
    model: BloomLanguageModel, sequences: Sequence[Tensor | Sequence[int]], counts: Sequence[int]
) -> Tensor:
    """Hidden states of the last pieces of each sequence; earlier pieces are context.

    model (BloomLanguageModel): In evaluation mode.
    sequences (Sequence[Tensor | Sequence[int]]): Ids of each, at least one sequence. They run packed.
    counts (Sequence[int]): Number of last pieces of each.
    RETURNS (Tensor): One sequence after the other. Shape (sum of counts, hidden_size).
    RAISES (InputError): An id outside the vocabulary, or a model in training mode.
    """
    expect_evaluation(model)
    lengths = [len(sequence) for sequence in sequences]
    ids = torch.cat([torch.as_tensor(sequence, dtype=torch.long) for sequence in sequences])
    hidden = model.transformer.encode_packed(ids.to(model.device), lengths)  # (pieces, hidden_size)
    if list(counts) == lengths:
        return hidden
    parts = zip(hidden.split(lengths), counts, strict=True)
    return torch.cat([part[len(part) - count :] for part, count in parts])
