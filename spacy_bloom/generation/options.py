"""The options of generation: what they are, and what they may be."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..settings import FLAG, Check, PieceId, any_of, integer, is_whole, list_of, number, one_of, optional

MAX_LENGTH = 2**31 - 1
MAX_SEED = 2**64 - 1
MAX_ROWS = 2**12  # per prompt; more is a mistake, refused before memory is allocated

PIECE = integer(0, 2**31 - 1)
WORD = list_of(PIECE, at_least=1)
FACTOR = number(1e-6, 1e6)
TEXT = Check(
    "text that is not empty, of whole characters",
    lambda x: isinstance(x, str) and x != "" and is_whole(x),
)
TEMPERATURE = Check(f"{FACTOR.expected}; for greedy decoding set do_sample=False", FACTOR.accepts)


def _one_or_more(check: Check) -> Check:
    return optional(any_of(check, list_of(check, at_least=1)))


# Where neither max_new_tokens nor max_length is set, as many pieces are added.
MAX_LENGTH_BY_DEFAULT = 20
# Kinds of caches that hold the same numbers; all are one here.
CACHES = ("dynamic", "static", "offloaded", "offloaded_static")
NO_WATERMARKS = Check(
    "null: watermarks change the distribution of texts, and are not made here", lambda x: x is None
)
# Scores and lengths stay finite within these limits.
Length = Annotated[int, integer(1, MAX_LENGTH)]
Count = Annotated[int, integer(0, MAX_LENGTH)]
Rows = Annotated[int, integer(1, MAX_ROWS)]
Probability = Annotated[float, number(0, 1)]
Factor = Annotated[float, FACTOR]
Temperature = Annotated[float, TEMPERATURE]
Ids = Annotated[int | list[int] | None, _one_or_more(PIECE)]
IdLists = Annotated[list[list[int]] | None, optional(list_of(WORD))]
# A word, or several of which one is meant.
ForcedWords = Annotated[
    list[Any] | None, optional(list_of(any_of(WORD, list_of(WORD, at_least=1)), at_least=1))
]
SomeIds = Annotated[list[int] | None, optional(list_of(PIECE))]
Biases = Annotated[
    Any,
    optional(Check("biases by pieces: {(5, 9): 2.0} or [[[5, 9], 2.0]]", lambda x: _are_biases(x))),
]
Decay = Annotated[
    tuple[int, float] | None,
    optional(Check("a start and a factor, as in (5, 1.1)", lambda x: _is_decay(x))),
]
Constraints = Annotated[
    list[Any] | None,
    optional(
        list_of(Check("a constraint, with advance, update and copy", lambda x: hasattr(x, "does_advance")))
    ),
]
Cutoff = Annotated[float, number(0, below=1)]
Layers = Annotated[
    str | list[int] | None, optional(any_of(one_of("low", "high"), list_of(integer(0), at_least=1)))
]
Seeds = Annotated[int | tuple[int, ...] | None, _one_or_more(integer(0, MAX_SEED))]
Stops = Annotated[str | list[str] | None, _one_or_more(TEXT)]


def _are_biases(value: Any) -> bool:
    """RETURNS (bool): Whether these are biases of sequences of pieces, in one of Hugging Face's two forms."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, (list, tuple)) and all(
        isinstance(p, (list, tuple)) and len(p) == 2 for p in value
    ):
        pairs = [tuple(pair) for pair in value]
    else:
        return False
    finite = number(-sys.float_info.max, sys.float_info.max)  # integers of a file may be larger
    return bool(pairs) and all(WORD.accepts(pieces) and finite.accepts(bias) for pieces, bias in pairs)


def _is_decay(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return integer(0, MAX_LENGTH).accepts(value[0]) and FACTOR.accepts(value[1])


@dataclass(eq=False, repr=False)
class GenerationOptions:
    """The options of generation. Names, meanings and defaults are Hugging Face's, except where noted.

    Padding is not counted among the pieces of a row. (Hugging Face's processors count it as part of the prompt.)

    max_length (int): Maximum number of pieces, prompt included. By default, 20 pieces are added to any prompt.
    max_new_tokens (int | None): Maximum number of pieces to add. Takes precedence.
    min_length, min_new_tokens (int, int | None): The same for the minimum before the end.
    early_stopping (bool | str): End beam search when there are num_beams finished sequences (True), when a better one
        is unlikely (False), or when a better one is impossible ("never").
    max_time (float | None): Seconds after which no further piece is started.
    stop_strings (str | list[str] | None): Texts that end a sequence. They are looked for in what is added.
    do_sample (bool): Sample pieces by their probability instead of taking the best one. The options from temperature
        to eta_cutoff only affect sampling.
    num_beams (int): Number of beams; 1 for no beam search.
    num_beam_groups (int), diversity_penalty (float): Groups of beams, and how much is taken from the score of a piece
        for each beam of earlier groups that chose it.
    penalty_alpha (float | None): Contrastive search, with top_k: weight of the likeness to what is there already.
    dola_layers (str | list[int] | None): Contrast the last layer with one of these: "low", "high", or their numbers.
    use_cache (bool): Keep keys and values.
    cache_implementation, cache_config, prefill_chunk_size, low_memory, compile_config, disable_compile: Taken, without
        effect on what is generated; "quantized" caches and those of other models' attention are refused.
    return_legacy_cache (bool | None): Give past_key_values as pairs of tensors.
    temperature (float): Divides the scores.
    top_k (int): Sample from the k best pieces; 0 for all.
    top_p (float): Sample from the best pieces that together have this probability; 1 for all.
    min_p (float | None): Minimum probability of a piece, relative to that of the best one.
    typical_p (float): Sample from the pieces closest to the expected surprisal that together have this probability;
        1 for all.
    epsilon_cutoff, eta_cutoff (float): Minimum probability of a piece, fixed, or lower where many are likely; 0 for
        none.
    repetition_penalty (float): Divides the scores of pieces that occurred before, or multiplies negative ones; 1 for
        none.
    encoder_repetition_penalty (float): The opposite, for pieces of the prompt: above 1 they become more likely.
    length_penalty (float): Exponent of the length by which a beam's score is divided; above 0 favours longer ones.
    no_repeat_ngram_size (int): Sequences of this many pieces occur once, prompt included; 0 for any number of times.
    encoder_no_repeat_ngram_size (int): Sequences of this many pieces are not taken from the prompt; 0 for no limit.
    bad_words_ids (list[list[int]] | None): Sequences of pieces that must not be generated.
    force_words_ids (list | None), constraints (list | None): Sequences of pieces that must be generated, or lists of
        sequences of which one must be, with beams; constraints are objects like those of Hugging Face.
    renormalize_logits (bool): Make log-probabilities of the processed scores.
    forced_bos_token_id (int | None): The first piece to generate, after a prompt of any length. (Hugging Face forces
        it after prompts of one piece only, as its encoder-decoder models have.)
    forced_eos_token_id (int | list[int] | None): The last piece that the length allows; if several are given, the
        best one, or one sampled uniformly.
    remove_invalid_values (bool): Replace NaN by 0 and infinities by the largest numbers in scores.
    exponential_decay_length_penalty (tuple[int, float] | None): Number of added pieces from which on the ends become
        more likely, and the factor for each piece after it.
    suppress_tokens, begin_suppress_tokens (list[int] | None): Pieces that are never generated, and never first.
    sequence_bias (dict | list | None): Added to the score of the last piece of sequences whose others are there.
    token_healing (bool): Generate the last piece of the prompts again, with others that begin as it does. Needs a
        tokenizer.
    guidance_scale (float | None): Weight of the prompt against that of a negative prompt.
    watermarking_config: Not supported.
    num_return_sequences (int): Sequences per prompt; more than one requires do_sample or as many beams.
    output_attentions, output_hidden_states, output_scores, output_logits, return_dict_in_generate (bool): What
        `generate` returns.
    bos_token_id, pad_token_id (int | None), eos_token_id (int | list[int] | None): Ids of control tokens; a sequence
        ends at any of eos_token_id.
    is_assistant, assistant_early_exit, assistant_lookbehind, target_lookbehind: Taken, without effect.
    num_assistant_tokens (int), num_assistant_tokens_schedule (str), assistant_confidence_threshold (float): How much an
        assistant model drafts: number of pieces, whether it adapts, and the probability below which a draft ends.
    prompt_lookup_num_tokens (int | None): Number of pieces to draft at once from the prompt; None for no drafts.
    max_matching_ngram_size (int | None): Longest sequence of pieces to look up for a draft; 2 by default.
    shortlist (bool): Of this package: greedy decoding finds the best pieces with an int8 copy of the language-modelling
        head, made at its first use, and computes the exact scores of those alone: the same pieces, faster with large
        vocabularies on a CPU, for a quarter of the head's memory. Without effect where more than the best piece counts.
    seed (int | tuple[int, ...] | None): Of this package: seed for sampling, one for all prompts, so that a sequence
        depends only on its prompt, or one per prompt. None takes new seeds from torch's global generator every time.
    """

    max_length: Length = MAX_LENGTH_BY_DEFAULT
    max_new_tokens: Length | None = None
    min_length: Count = 0
    min_new_tokens: Count | None = None
    early_stopping: Annotated[bool | str, any_of(FLAG, one_of("never"))] = False
    max_time: Annotated[float, number(0, 1e9)] | None = None
    stop_strings: Stops = None
    do_sample: bool = False
    num_beams: Rows = 1
    num_beam_groups: Rows = 1
    penalty_alpha: Probability | None = None
    dola_layers: Layers = None
    use_cache: bool = True
    cache_implementation: Annotated[str | None, optional(one_of(*CACHES))] = None
    cache_config: Any = None
    return_legacy_cache: bool | None = None
    prefill_chunk_size: Length | None = None
    temperature: Temperature = 1.0
    top_k: Count = 50
    top_p: Probability = 1.0
    min_p: Probability | None = None
    typical_p: Annotated[float, number(1e-6, 1)] = 1.0
    epsilon_cutoff: Cutoff = 0.0
    eta_cutoff: Cutoff = 0.0
    diversity_penalty: Annotated[float, number(0, 1e6)] = 0.0
    repetition_penalty: Factor = 1.0
    encoder_repetition_penalty: Factor = 1.0
    length_penalty: Annotated[float, number(-32, 32)] = 1.0
    no_repeat_ngram_size: Count = 0
    bad_words_ids: IdLists = None
    force_words_ids: ForcedWords = None
    renormalize_logits: bool = False
    constraints: Constraints = None
    forced_bos_token_id: PieceId | None = None
    forced_eos_token_id: Ids = None
    remove_invalid_values: bool = False
    exponential_decay_length_penalty: Decay = None
    suppress_tokens: SomeIds = None
    begin_suppress_tokens: SomeIds = None
    sequence_bias: Biases = None
    token_healing: bool = False
    guidance_scale: Annotated[float, number(-1e6, 1e6)] | None = None
    low_memory: bool | None = None
    watermarking_config: Annotated[Any, NO_WATERMARKS] = None
    num_return_sequences: Rows = 1
    output_attentions: bool = False
    output_hidden_states: bool = False
    output_scores: bool = False
    output_logits: bool | None = None
    return_dict_in_generate: bool = False
    pad_token_id: PieceId | None = None
    bos_token_id: PieceId | None = None
    eos_token_id: Ids = None
    encoder_no_repeat_ngram_size: Count = 0
    decoder_start_token_id: Any = None
    is_assistant: bool = False
    num_assistant_tokens: Annotated[float, number(1, MAX_LENGTH)] = 20
    num_assistant_tokens_schedule: Annotated[str, one_of("constant", "heuristic", "heuristic_transient")] = (
        "constant"
    )
    assistant_confidence_threshold: Annotated[float, number(0, 1)] = 0.4
    prompt_lookup_num_tokens: Length | None = None
    max_matching_ngram_size: Annotated[int, integer(1, 16)] | None = None
    assistant_early_exit: Length | None = None
    assistant_lookbehind: Count = 10
    target_lookbehind: Count = 10
    compile_config: Any = None
    disable_compile: bool = False
    shortlist: bool = False
    seed: Seeds = None
    extra: Mapping[str, Any] = field(default_factory=dict)
