"""Log-likelihoods of answers to prompts, for the zero-shot component."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ...generation.batches import encode_prompts
from ...generation.causal_lm import BloomForCausalLM
from ...generation.scoring import score_continuations
from ...tokenizer import BloomTokenizerFast
from .zero_shot_questions import Question

# Maximum number of scores to keep. The labels of a config need few; labels on Docs can be any number.
MAX_KEPT = 10_000
# Number of values of each weight that are compared to detect changes.
SAMPLE = 64

PieceScores = list[float]  # log-probabilities of an answer's pieces, in nats


def score_answers(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[str]],
    *,
    max_batch_items: int | None,
) -> list[list[PieceScores]]:
    """Score the answers to each prompt, all prompts together.

    prompts (Sequence[Sequence[int]]): Ids of each. An empty prompt becomes `</s>`, the token between the texts that
        BLOOM was trained on.
    answers (Sequence[Sequence[str]]): The answers to each prompt.
    max_batch_items (int | None): See `score_continuations`.
    RETURNS (list[list[PieceScores]]): For each prompt, the scores of each answer.
    """
    texts = list(dict.fromkeys(text for own in answers for text in own))
    ids = dict(zip(texts, encode_prompts(tokenizer, texts), strict=True))
    return score_continuations(
        model,
        [prompt or [tokenizer.eos_token_id] for prompt in prompts],
        [[ids[text] for text in own] for own in answers],
        max_batch_items=max_batch_items,
    )


def fit_prompt(
    tokenizer: BloomTokenizerFast, prompt: str, text: str, most: int | None
) -> tuple[list[int], bool]:
    """Encode a prompt. If it has too many pieces, cut the end of the text inside it.

    prompt (str): Contains the text, with or without the space around it.
    text (str): The part that may be cut.
    most (int | None): Maximum number of pieces; None for no limit.
    RETURNS (tuple[list[int], bool]): The ids, and whether the text was cut.
    RAISES (InputError): The prompt is too long and does not contain the text, or nothing of it would be left.
    """
    offsets, ids = _encode(tokenizer, prompt)
    if most is None or len(ids) <= most:
        return ids, False
    text = text if text in prompt else text.strip()  # templates strip texts
    start = prompt.find(text) if text else -1
    end = start + len(text)
    while len(ids) > most:
        # Remove the excess pieces, from the last one that starts before the end of the text. The rest may be encoded
        # differently at the cut, and is counted again.
        first_to_go = bisect_left(offsets, end) - (len(ids) - most)
        kept_to = offsets[first_to_go] if first_to_go > 0 else 0
        if start < 0 or kept_to <= start:
            raise InputError(
                f"Expected a prompt of at most {most} pieces (max_prompt_pieces), got {len(ids)}, and "
                + ("no text of the Doc in it to cut" if start < 0 else "too few of them are the Doc's text")
                + ". Let the template use {{ doc.text }} as it stands, shorten it there "
                "({{ doc.text[:2000] }}), or set max_prompt_pieces higher or to null."
            )
        prompt, end = prompt[:kept_to] + prompt[end:], kept_to
        offsets, ids = _encode(tokenizer, prompt)
    return ids, True


def _encode(tokenizer: BloomTokenizerFast, prompt: str) -> tuple[list[int], list[int]]:
    """RETURNS (tuple[list[int], list[int]]): Start offset and id of each piece. Control tokens are ordinary text."""
    (encoding,) = tokenizer.encode_plain([prompt])
    return [start for start, _ in encoding.offsets], encoding.ids


class KeptScores:
    """Keeps the scores of repeated questions until the weights change."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], PieceScores] = {}  # by prompt and answer
        self._sample: Tensor | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def look_up(
        self,
        model: BloomForCausalLM,
        questions: Sequence[Question],
        score: Callable[[list[Question]], list[list[PieceScores]]],
    ) -> list[list[PieceScores]]:
        """
        model (BloomForCausalLM): Its weights are compared with those of the last call.
        questions (Sequence[Question]): May repeat.
        score (Callable): Scores new questions.
        RETURNS (list[list[PieceScores]]): For each question, the scores of each answer.
        """
        self._forget_other_weights(model)
        new: dict[str, dict[str, None]] = {}
        for question in questions:
            for answer in question.answers:
                if (question.prompt, answer) not in self._kept:
                    new.setdefault(question.prompt, {})[answer] = None
        known = self._kept
        if new:
            asked = [Question(prompt, tuple(answers)) for prompt, answers in new.items()]
            found = {
                (question.prompt, answer): pieces
                for question, own in zip(asked, score(asked), strict=True)
                for answer, pieces in zip(question.answers, own, strict=True)
            }
            known = self._kept | found
            self._kept = known if len(known) <= MAX_KEPT else {}
        return [[known[question.prompt, answer] for answer in question.answers] for question in questions]

    def _forget_other_weights(self, model: BloomForCausalLM) -> None:
        """Compare values: optimizers write in place, which neither addresses nor torch's versions show."""
        with torch.no_grad():
            sample = torch.cat([p.flatten()[:SAMPLE].float() for p in model.parameters()])
        if self._sample is None or not torch.equal(sample, self._sample):
            self._kept, self._sample = {}, sample
