"""Prompts whose last piece is generated again, because the text was cut where no piece ends."""

from typing import Any

import torch

from ..errors import InputError
from .arguments import Inputs
from .config import GenerationConfig

# How much is added to the scores of pieces that begin as the last one does.
BIAS = 10.0


def healed(model: Any, inputs: Inputs, tokenizer: Any, config: GenerationConfig) -> Inputs:
    """Replace the last piece of each prompt by the best one that begins with its text.

    model (BloomForCausalLM): Chooses the piece.
    tokenizer (BloomTokenizerFast): The model's.
    RETURNS (Inputs): The new prompts, padded on the left.
    RAISES (InputError): There is no tokenizer.
    SOURCE: transformers' `heal_tokens`; spaces at the ends of prompts are left out, as there.
    """
    if tokenizer is None:
        raise InputError("Got token_healing=True without a tokenizer: pass tokenizer=... too.")
    pieces = [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]
    rows = []
    for text in (tokenizer.decode(prompt, skip_special_tokens=True) for prompt in inputs.prompts):
        row = list(tokenizer(text.strip())["input_ids"])
        tail = pieces[row[-1]] if row else None
        longer = [i for i, piece in enumerate(pieces) if tail is not None and piece.startswith(tail)]
        if len(longer) > 1:
            biases = {(i,): BIAS + (1.0 if i == row[-1] else 0.0) for i in longer}
            begin = torch.tensor([row[:-1] or [config.bos_token_id]])
            new = model.generate(begin, max_new_tokens=1, num_beams=1, do_sample=False, sequence_bias=biases)
            row = [*row[:-1], int(new[0, -1])]
        rows.append(row)
    longest = max(map(len, rows))
    pad = config.pad_token_id if config.pad_token_id is not None else 0
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=inputs.ids.device)
    mask = torch.tensor(
        [[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=inputs.ids.device
    )
    return Inputs(ids, mask)
