"""From a call of `generate` to the loop that does what it asks for."""

from typing import Any

from torch import Tensor

from ...bloom.heads import BloomLanguageModel
from ...errors import InputError
from ..arguments import Callbacks, Inputs
from ..config import GenerationConfig
from ..processors.chain import logits_processors
from ..rows import LogitsProcessor
from ..stopping import Stopping
from .beams import beam_search
from .call import PaddedCall
from .calling_forms import PrefixAllowed, Rectangle, in_rows, takes_rows
from .contrastive import contrastive_search
from .decoding import decode
from .forced_beams import forced_beam_search
from .group_beams import Diversity, group_beam_search
from .guidance import Guidance
from .layer_contrast import LayerContrast
from .steps import prepares_inputs


def needs_rectangle(model: Any, inputs: Inputs, config: GenerationConfig, callbacks: Callbacks) -> bool:
    """RETURNS (bool): Whether something is asked for that rows by themselves do not have."""
    return bool(
        config.return_dict_in_generate
        or not config.use_cache
        or inputs.embeds is not None
        or inputs.lent is not None
        or callbacks.streamer is not None
        or callbacks.prefix_allowed is not None
        or callbacks.criteria
        or not all(map(takes_rows, callbacks.processors))
        or is_guided(config)
        or is_contrastive(config)
        or _is_forced(config)
        or config.num_beam_groups > 1
        or config.dola_layers is not None
        or prepares_inputs(model)
    )


def search(
    model: BloomLanguageModel,
    inputs: Inputs,
    config: GenerationConfig,
    callbacks: Callbacks,
    *,
    vocabulary: int,
    stopping: Stopping,
) -> Any:
    """
    inputs (Inputs): The prompts.
    config (GenerationConfig): The options; max_new_tokens is what may be added.
    callbacks (Callbacks): What is called at each step.
    vocabulary (int): Number of pieces that may be generated.
    stopping (Stopping): Where rows end.
    RETURNS (Tensor | ModelOutput): As `generate`.
    """
    given, inputs = inputs, inputs.padded_left()
    rectangle = Rectangle(inputs.ids)
    call = PaddedCall(
        model,
        config,
        inputs.ids,
        inputs.mask,
        inputs.prompts,
        logits_processors(
            config,
            vocabulary,
            custom=in_rows(callbacks.processors, rectangle),
            inside=_inside(model, config, callbacks, rectangle),
        ),
        rectangle,
        stopping,
        callbacks.criteria,
        inputs.embeds,
        None if inputs.lent is None else inputs.lent.cache,
        callbacks.streamer,
    )
    call.put(given.ids)
    found = _run(call)
    if inputs.lent is not None:
        found = inputs.lent.give_back(found)
    return found if inputs is given else _with_prompts(found, given.ids)


def is_guided(config: GenerationConfig) -> bool:
    """RETURNS (bool): Whether there is a negative prompt."""
    return config.guidance_scale not in (None, 1)


def is_contrastive(config: GenerationConfig) -> bool:
    """RETURNS (bool): Whether contrastive search is asked for."""
    return bool(config.num_beams == 1 and not config.do_sample and config.top_k > 1 and config.penalty_alpha)


def _run(call: PaddedCall) -> Any:
    config = call.config
    if config.num_beams > 1 and call.streamer is not None:
        raise InputError(
            f"Got a streamer with num_beams={config.num_beams}: beams are known at the end only."
        )
    if _is_forced(config):
        return forced_beam_search(call)
    if config.num_beams > 1:
        return group_beam_search(call) if config.num_beam_groups > 1 else beam_search(call)
    if is_contrastive(config):
        if not config.use_cache:
            raise InputError("Expected use_cache=True in contrastive search, got False.")
        return contrastive_search(call)
    contrast = None if config.dola_layers is None else LayerContrast(call.model, config.dola_layers)
    return decode(call, contrast)


def _is_forced(config: GenerationConfig) -> bool:
    return config.constraints is not None or config.force_words_ids is not None


def _inside(
    model: BloomLanguageModel, config: GenerationConfig, callbacks: Callbacks, rectangle: Rectangle
) -> dict[str, LogitsProcessor]:
    """RETURNS (dict[str, LogitsProcessor]): Processors that know the rectangle, by place."""
    found: dict[str, LogitsProcessor] = {}
    if is_guided(config):
        ids, mask = callbacks.negative_ids, callbacks.negative_mask
        found["guidance"] = Guidance(config.guidance_scale or 1.0, model, rectangle, ids, mask)
    if config.num_beam_groups > 1:
        found["diversity"] = Diversity(
            config.diversity_penalty, config.num_beams, config.num_beam_groups, rectangle
        )
    if callbacks.prefix_allowed is not None:
        found["prefix"] = PrefixAllowed(callbacks.prefix_allowed, rectangle)
    return found


def _with_prompts(found: Any, ids: Tensor) -> Any:
    """Put the prompts back as they were given, with padding where it was."""
    sequences = found if isinstance(found, Tensor) else found.sequences
    sequences[:, : ids.shape[1]] = ids.repeat_interleave(len(sequences) // len(ids), dim=0)
    return found
