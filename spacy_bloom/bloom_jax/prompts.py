"""From the arguments of a call to what compiled generation takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..config import BloomConfig
from ..errors import InputError
from ..generation.config import GenerationConfig
from ..published import N_PIECES, VOCAB_SIZE
from .buckets import bucket
from .decoding import Prompts
from .inputs import concrete, to_batch
from .scores import Choice

# Options that have no effect in a compiled loop, and must be as by default.
NOT_FOLLOWED = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "constraints",
    "dola_layers",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "guidance_scale",
    "max_time",
    "min_p",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "penalty_alpha",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "return_dict_in_generate",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "token_healing",
    "typical_p",
)


def to_prompts(
    config: BloomConfig, input_ids: Any, attention_mask: Any, options: GenerationConfig, key: Any
) -> tuple[Prompts, int]:
    """
    input_ids (Array): Shape (batch, length).
    attention_mask (Array | None): 1 for pieces, 0 for padding on either side; None for what the ids say.
    options (GenerationConfig): Lengths, and a seed.
    key (jax.Array | None): What is drawn; None takes the seed, or 0.
    RETURNS (tuple[Prompts, int]): The prompts in a length that programs are compiled for; the most pieces that may be
        added to one of them.
    RAISES (InputError): Shapes or ids that do not fit, an empty row, more or fewer seeds than rows.
    """
    ids, mask = to_batch(config, input_ids, attention_mask)
    mask = _guess_mask(ids, options) if attention_mask is None else mask
    _expect_pieces(mask)
    added = options.max_added(ids.shape[1])  # padding counts for max_length, as in Hugging Face
    limits = jnp.full(ids.shape[:1], added, jnp.int32)
    return Prompts(*_left_padded(ids, mask), limits, _seeds(options, key, len(ids))), added


def expect_followed(options: GenerationConfig) -> None:
    """RAISES (InputError): Options that have no effect in a compiled loop."""
    default = GenerationConfig()
    wrong = [name for name in NOT_FOLLOWED if getattr(options, name) != getattr(default, name)]
    if wrong:
        raise InputError(
            f"Expected options that compiled generation follows, got {', '.join(wrong)}. Load the checkpoint with "
            "BloomForCausalLM for these."
        )


def _guess_mask(ids: Any, options: GenerationConfig) -> Any:
    """RETURNS (Array): Ids equal to pad_token_id are padding, unless they end sequences too. Shape (batch, length)."""
    pad = options.pad_token_id
    if pad is None or pad in options.eos_token_ids:
        return np.ones(ids.shape, np.int32)
    return (ids != pad).astype(np.int32)


def _expect_pieces(mask: Any) -> None:
    """RAISES (InputError): A row is all padding, where that is known."""
    known = concrete(mask)
    if known is not None and not known.any(axis=1).all():
        empty = np.flatnonzero(~known.any(axis=1))
        raise InputError(f"Expected prompts of at least one piece, got none in rows {empty}.")


def with_least(options: GenerationConfig, length: int) -> GenerationConfig:
    """RETURNS (GenerationConfig): With min_length, which counts the prompt and its padding, as min_new_tokens."""
    if not options.min_length:
        return options
    least = options.min_new_tokens
    if least is None:
        least = min(max(options.min_length - length, 0), options.max_added(length))
    return options.replace(min_new_tokens=least, min_length=0)


def _left_padded(ids: Any, mask: Any) -> tuple[Any, Any]:
    """Bring all padding to the left, and fill up to a length that programs are compiled for.

    RETURNS (tuple[Array, Array]): Ids and mask. Shape (batch, bucketed length).
    """
    numbers = np if concrete(ids) is not None and concrete(mask) is not None else jnp
    real = (mask != 0).astype(np.int32)
    order = numbers.argsort(real, axis=1, stable=True)
    fill = ((0, 0), (bucket(ids.shape[1]) - ids.shape[1], 0))
    return tuple(numbers.pad(numbers.take_along_axis(array, order, axis=1), fill) for array in (ids, real))


def _seeds(options: GenerationConfig, key: Any, batch: int) -> Any:
    """RETURNS (Array): 64 bits for each prompt; the same for all unless there is a seed for each, so that a prompt's
    sequences do not depend on its neighbours. Shape (batch, 2), uint32.
    """
    if key is not None:
        return jnp.broadcast_to(jax.random.bits(key, (2,), jnp.uint32), (batch, 2))
    seeds = options.seed if isinstance(options.seed, tuple) else (options.seed or 0,) * batch
    if len(seeds) != batch:
        raise InputError(f"Expected one seed, or one for each of {batch} prompts, got {len(seeds)}.")
    return np.array([(seed >> 32, seed & 0xFFFFFFFF) for seed in seeds], np.uint32)


def to_choice(config: BloomConfig, options: GenerationConfig) -> Choice:
    """RETURNS (Choice): What a program is compiled for."""
    ends = options.eos_token_ids
    fill = next((i for i in (options.pad_token_id, *ends) if i is not None), 0)
    rows = config.vocab_size
    return Choice(
        vocabulary=N_PIECES if rows == VOCAB_SIZE else rows,  # the published embedding has dead rows
        ends=ends,
        fill=fill,
        # min_new_tokens takes precedence, as in Hugging Face.
        min_new_tokens=options.min_new_tokens or None,
        min_length=None if options.min_new_tokens else options.min_length or None,
        do_sample=options.do_sample,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=None if options.top_p == 1.0 else options.top_p,
        # Beams need one piece that does not end the sequence, however probable its ends are.
        keep=1 if options.num_beams == 1 else max(len(ends), 1) + 1,
    )
