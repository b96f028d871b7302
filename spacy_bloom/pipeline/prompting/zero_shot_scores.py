"""Log-likelihoods of answers to prompts, as the zero-shot component asks for them."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ...generation.batches import encode_prompts
from ...generation.scoring import score_continuations
from ...pretrained import BloomForCausalLM
from ...tokenizer import BloomTokenizerFast
from .zero_shot_questions import Question

# Scores that are kept. The labels of a config need few; labels on Docs may go on without end.
MAX_KEPT = 10_000
# So many numbers of every weight are looked at to see whether it has changed.
SAMPLE = 64

PieceScores = list[float]  # of one answer: the log-probability of each piece, in nats


def score_answers(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[str]],
    *,
    max_batch_items: int | None,
) -> list[list[PieceScores]]:
    """Score the answers to each prompt, all prompts together.

    prompts (Sequence[Sequence[int]]): Ids of each. One without pieces begins with `</s>`, the token between the
        texts that BLOOM was trained on.
    answers (Sequence[Sequence[str]]): Of each prompt.
    max_batch_items (int | None): See `score_continuations`.
    RETURNS (list[list[PieceScores]]): Of each prompt, of each answer.
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
    """Encode a prompt; where it has too many pieces, take some off the end of the text inside it.

    prompt (str): Holds the text, with or without the space around it.
    text (str): What may be cut.
    most (int | None): Pieces that are left at most; None cuts nothing.
    RETURNS (tuple[list[int], bool]): The ids, and whether the text was cut.
    RAISES (InputError): The prompt is too long and does not hold the text, or nothing of it would be left.
    """
    offsets, ids = _encode(tokenizer, prompt)
    if most is None or len(ids) <= most:
        return ids, False
    text = text if text in prompt else text.strip()  # templates strip texts
    start = prompt.find(text) if text else -1
    end = start + len(text)
    while len(ids) > most:
        # The pieces over the number go, from the last one that starts before the text's end. What is left may be
        # encoded in another way where it was cut, and is counted again.
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
    """RETURNS (tuple[list[int], list[int]]): Where each piece starts, and its id; as ordinary text."""
    (encoding,) = tokenizer.encode_plain([prompt])
    return [start for start, _ in encoding.offsets], encoding.ids


class KeptScores:
    """Scores of questions that come again, until the weights change."""

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
        score (Callable): Scores the questions that are new.
        RETURNS (list[list[PieceScores]]): Of each question, of each answer.
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
        """An optimizer writes in place, so that neither addresses nor torch's versions tell; the numbers do."""
        with torch.no_grad():
            sample = torch.cat([p.flatten()[:SAMPLE].float() for p in model.parameters()])
        if self._sample is None or not torch.equal(sample, self._sample):
            self._kept, self._sample = {}, sample
