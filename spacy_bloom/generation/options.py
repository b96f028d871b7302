"""What options of generation may be, and which of Hugging Face's are not supported."""

from typing import Annotated

from ..settings import Check, any_of, integer, list_of, number, optional

MAX_LENGTH = 2**31 - 1
MAX_SEED = 2**64 - 1
MAX_ROWS = 2**12  # per prompt; more is a mistake, refused before memory is allocated

PIECE = integer(0, 2**31 - 1)
FACTOR = number(1e-6, 1e6)
TEXT = Check("text that is not empty", lambda x: isinstance(x, str) and x != "")
TEMPERATURE = Check(f"{FACTOR.expected}; for greedy decoding set do_sample=False", FACTOR.accepts)


def _one_or_more(check: Check) -> Check:
    return optional(any_of(check, list_of(check, at_least=1)))


# Scores and lengths stay finite within these limits.
Length = Annotated[int, integer(1, MAX_LENGTH)]
Count = Annotated[int, integer(0, MAX_LENGTH)]
Rows = Annotated[int, integer(1, MAX_ROWS)]
Probability = Annotated[float, number(0, 1)]
Factor = Annotated[float, FACTOR]
Temperature = Annotated[float, TEMPERATURE]
Ids = Annotated[int | tuple[int, ...] | None, _one_or_more(PIECE)]
IdLists = Annotated[tuple[tuple[int, ...], ...] | None, optional(list_of(list_of(PIECE, at_least=1)))]
Seeds = Annotated[int | tuple[int, ...] | None, _one_or_more(integer(0, MAX_SEED))]
Stops = Annotated[str | tuple[str, ...] | None, _one_or_more(TEXT)]

# Hugging Face's options that change what is generated and that are not supported here, each with the value that has
# no effect; null has none either.
NOT_FOLLOWED = {
    "num_beam_groups": 1,
    "diversity_penalty": 0,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "encoder_repetition_penalty": 1,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "token_healing": False,
    "penalty_alpha": 0,
    "begin_suppress_tokens": None,
    "constraints": None,
    "dola_layers": None,
    "exponential_decay_length_penalty": None,
    "force_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "watermarking_config": None,
}
