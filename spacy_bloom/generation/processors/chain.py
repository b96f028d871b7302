"""All processors of a config, in Hugging Face's order."""

from collections.abc import Sequence

from ...errors import InputError
from ..config import GenerationConfig
from ..rows import LogitsProcessor
from .lengths import ForcedBos, ForcedEos, MinLength, MinNewTokens
from .repetition import BadWords, NoRepeatNGram, RepetitionPenalty
from .vocabulary import AllowedVocabulary, SomePieceLeft
from .warpers import MinP, Temperature, TopK, TopP, Typical


def logits_processors(
    config: GenerationConfig, vocabulary: int, *, custom: Sequence[LogitsProcessor] = ()
) -> list[LogitsProcessor]:
    """The processors that a config asks for, in Hugging Face's order: penalties, forbidden and forced pieces; the
    caller's own; then, for sampling, the warpers.

    Before the warpers come the limits of the vocabulary and the check that every row has an allowed piece, since
    warpers always keep the best one.

    config (GenerationConfig): The options.
    vocabulary (int): Number of pieces that may be generated: those of the tokenizer. BLOOM's embedding has more rows.
    custom (Sequence[LogitsProcessor]): The caller's own, for example constraints.
    RETURNS (list[LogitsProcessor]): Processors to call in order, for one run of generation: they remember prompts.
    RAISES (InputError): The config names an id outside the vocabulary.
    """
    _expect_ids(config, vocabulary)
    chosen: list[LogitsProcessor] = []
    if config.repetition_penalty != 1.0:
        chosen.append(RepetitionPenalty(config.repetition_penalty))
    if config.no_repeat_ngram_size > 0:
        chosen.append(NoRepeatNGram(config.no_repeat_ngram_size))
    if config.bad_words_ids:
        chosen.append(BadWords(config.bad_words_ids, config.eos_token_ids))
    if config.eos_token_ids and config.min_new_tokens > 0:
        chosen.append(MinNewTokens(config.min_new_tokens, config.eos_token_ids))
    elif config.eos_token_ids and config.min_length > 0:
        chosen.append(MinLength(config.min_length, config.eos_token_ids))
    if config.forced_bos_token_id is not None:
        chosen.append(ForcedBos(config.forced_bos_token_id))
    if config.forced_eos_token_ids:
        chosen.append(ForcedEos(config.max_added, config.forced_eos_token_ids))
    chosen += [*custom, AllowedVocabulary(vocabulary)]
    if config.num_beams == 1:
        chosen.append(SomePieceLeft())  # a beam that no piece may follow is dropped instead
    return chosen + _warpers(config) if config.do_sample else chosen


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
    return chosen


def _expect_ids(config: GenerationConfig, vocabulary: int) -> None:
    named = {
        "eos_token_id": config.eos_token_ids,
        "forced_bos_token_id": () if config.forced_bos_token_id is None else (config.forced_bos_token_id,),
        "forced_eos_token_id": config.forced_eos_token_ids,
        "bad_words_ids": [piece for word in config.bad_words_ids or () for piece in word],
    }
    for name, pieces in named.items():
        outside = [piece for piece in pieces if piece >= vocabulary]
        if outside:
            raise InputError(
                f"Expected ids below {vocabulary}, the size of the vocabulary, in {name}; got {outside[:20]}. "
                "Take them from the tokenizer of this model."
            )
