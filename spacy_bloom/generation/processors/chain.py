"""All processors of a config, in Hugging Face's order."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ...errors import InputError
from ..config import GenerationConfig
from ..rows import LogitsProcessor
from .bias import ExponentialDecay, SequenceBias, Suppress, biased_pieces
from .lengths import ForcedBos, ForcedEos, MinLength, MinNewTokens
from .prompt_pieces import NoPromptNGram, PromptBonus
from .repetition import BadWords, NoRepeatNGram, RepetitionPenalty
from .vocabulary import AllowedVocabulary, Normalized, SomePieceLeft, ValidNumbers
from .warpers import Epsilon, Eta, MinP, Temperature, TopK, TopP, Typical


def logits_processors(
    config: GenerationConfig,
    vocabulary: int,
    *,
    custom: Sequence[LogitsProcessor] = (),
    inside: Mapping[str, LogitsProcessor] = MappingProxyType({}),
) -> list[LogitsProcessor]:
    """The processors that a config asks for, in Hugging Face's order: penalties, forbidden and forced pieces; the
    caller's own; then, for sampling, the warpers.

    Before the warpers come the limits of the vocabulary and the check that every row has an allowed piece, since
    warpers always keep the best one.

    config (GenerationConfig): The options.
    vocabulary (int): Number of pieces that may be generated: those of the tokenizer. BLOOM's embedding has more rows.
    custom (Sequence[LogitsProcessor]): The caller's own, for example constraints.
    inside (Mapping[str, LogitsProcessor]): More with a place of their own: "guidance" is the first, "diversity" comes
        after the biases, "prefix" after the minimum length.
    RETURNS (list[LogitsProcessor]): Processors to call in order, for one run of generation: they remember prompts.
    RAISES (InputError): The config names an id outside the vocabulary.
    """
    _expect_ids(config, vocabulary)
    parts: dict[str, list[LogitsProcessor]] = {
        "guidance": [],
        "biases": [] if config.sequence_bias is None else [SequenceBias(config.sequence_bias)],
        "diversity": [],
        "penalties": _penalties(config) + _minimum(config),
        "prefix": [],
        "late": _forced(config) + _late(config),
    }
    parts.update({name: [processor] for name, processor in inside.items()})
    chosen = _merged([processor for part in parts.values() for processor in part], custom)
    chosen.append(AllowedVocabulary(vocabulary))
    if config.num_beams == 1:
        chosen.append(SomePieceLeft())  # a beam that no piece may follow is dropped instead
    chosen += _warpers(config) if config.do_sample else []
    return [*chosen, Normalized()] if config.renormalize_logits else chosen


def _penalties(config: GenerationConfig) -> list[LogitsProcessor]:
    chosen: list[LogitsProcessor] = []
    if config.encoder_repetition_penalty != 1.0:
        chosen.append(PromptBonus(config.encoder_repetition_penalty))
    if config.repetition_penalty != 1.0:
        chosen.append(RepetitionPenalty(config.repetition_penalty))
    if config.no_repeat_ngram_size > 0:
        chosen.append(NoRepeatNGram(config.no_repeat_ngram_size))
    if config.encoder_no_repeat_ngram_size > 0:
        chosen.append(NoPromptNGram(config.encoder_no_repeat_ngram_size))
    if config.bad_words_ids:
        chosen.append(BadWords(config.bad_words_ids, config.eos_token_ids))
    return chosen


def _minimum(config: GenerationConfig) -> list[LogitsProcessor]:
    ends = config.eos_token_ids
    if ends and config.min_new_tokens is not None:
        return [MinNewTokens(config.min_new_tokens, ends)] if config.min_new_tokens else []
    return [MinLength(config.min_length, ends)] if ends and config.min_length > 0 else []


def _forced(config: GenerationConfig) -> list[LogitsProcessor]:
    chosen: list[LogitsProcessor] = []
    if config.forced_bos_token_id is not None:
        chosen.append(ForcedBos(config.forced_bos_token_id))
    if config.forced_eos_token_ids:
        chosen.append(ForcedEos(config.max_added, config.forced_eos_token_ids))
    return chosen


def _late(config: GenerationConfig) -> list[LogitsProcessor]:
    chosen: list[LogitsProcessor] = []
    if config.remove_invalid_values:
        chosen.append(ValidNumbers())
    if config.exponential_decay_length_penalty is not None and config.eos_token_ids:
        chosen.append(ExponentialDecay(*config.exponential_decay_length_penalty, config.eos_token_ids))
    if config.suppress_tokens:
        chosen.append(Suppress(config.suppress_tokens))
    if config.begin_suppress_tokens:
        chosen.append(Suppress(config.begin_suppress_tokens, first_only=True))
    return chosen


def _merged(own: Sequence[LogitsProcessor], custom: Sequence[LogitsProcessor]) -> list[LogitsProcessor]:
    """RETURNS (list[LogitsProcessor]): The config's processors, then the caller's. One of the caller's that replaces
    one of the config's, as `replaces` says, takes its place.
    """
    found: list[LogitsProcessor] = []
    for processor in own:
        same = [c for c in custom if getattr(c, "replaces", None) is type(processor)]
        found.append(same[0] if same else processor)
    return found + [c for c in custom if c not in found]


def _warpers(config: GenerationConfig) -> list[LogitsProcessor]:
    # Beams need one piece that does not end the sequence, even if all ends are more probable.
    keep = 1 if config.num_beams == 1 else max(len(config.eos_token_ids), 1) + 1
    chosen: list[LogitsProcessor] = []
    if config.temperature != 1.0:
        chosen.append(Temperature(config.temperature))
    if config.top_k > 0:
        chosen.append(TopK(config.top_k, keep=keep))
    if config.top_p < 1.0:
        chosen.append(TopP(config.top_p, keep=keep))
    if config.min_p is not None:
        chosen.append(MinP(config.min_p, keep=keep))
    if config.typical_p < 1.0:
        chosen.append(Typical(config.typical_p, keep=keep))
    if config.epsilon_cutoff > 0:
        chosen.append(Epsilon(config.epsilon_cutoff, keep=keep))
    if config.eta_cutoff > 0:
        chosen.append(Eta(config.eta_cutoff, keep=keep))
    return chosen


def _expect_ids(config: GenerationConfig, vocabulary: int) -> None:
    named = {
        "eos_token_id": config.eos_token_ids,
        "forced_bos_token_id": () if config.forced_bos_token_id is None else (config.forced_bos_token_id,),
        "forced_eos_token_id": config.forced_eos_token_ids,
        "bad_words_ids": [piece for word in config.bad_words_ids or () for piece in word],
        "sequence_bias": [piece for pieces in biased_pieces(config.sequence_bias) for piece in pieces],
    }
    for name, pieces in named.items():
        outside = [piece for piece in pieces if piece >= vocabulary]
        if outside:
            raise InputError(
                f"Expected ids below {vocabulary}, the size of the vocabulary, in {name}; got {outside[:20]}. "
                "Take them from the tokenizer of this model."
            )
