"""BLOOM as a local model for spacy-llm, whose tasks write the prompts and parse the responses.

spacy-llm finds `create_spacy_llm_model` by its entry point; nothing here imports spacy-llm.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Optional

from spacy.util import SimpleFrozenDict

from ..generation.batches import encode_prompts, generate_batched
from ..generation.config import GenerationConfig
from ..thinc_layers.language_model import LanguageModelShim
from ..thinc_layers.weights.settings import WeightSettings
from .prompting.generator_settings import check_sizes, refuse_options, with_one_seed

CONTEXT_LENGTH = 2048  # pieces in the sequences that BLOOM was trained on

# Options that make no sense here, each with what to do instead.
REFUSED = {
    "max_length": "It counts the prompt, whose length depends on the Doc. Set max_new_tokens",
    "num_return_sequences": "A prompt has one response. Leave it out",
}


def create_spacy_llm_model(
    name: str = "tiny-bloom",
    config: Dict[str, Any] = SimpleFrozenDict(),
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    max_batch_items: Optional[int] = None,
    context_length: Optional[int] = CONTEXT_LENGTH,
) -> Callable[[Iterable[Iterable[str]]], Iterable[Iterable[str]]]:
    """Registered as `spacy-bloom.Bloom.v1` in spacy-llm's `llm_models`. The checkpoint is loaded on first use, and
    shares its memory with other components that use it.

    name (str): Checkpoint: bundled ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    config (Dict[str, Any]): Options of generation, fields of GenerationConfig: max_new_tokens, do_sample,
        stop_strings ... They take precedence over the checkpoint's. Without either, do_sample draws from all pieces.
    dtype (str): Dtype for computation: "float32", "bfloat16", "float16", or "auto" for the checkpoint's.
    storage_dtype (Optional[str]): Dtype that nlp.to_disk writes; None for the dtype of computation.
    revision (Optional[str]): Branch, tag or commit on the Hub.
    max_batch_items (Optional[int]): Maximum number of pieces of prompts and responses in memory at once,
        including padding; a longer prompt is computed alone. None for as many as take 1/20 of the memory of the
        weights, or 64 MB if that is more.
    context_length (Optional[int]): Length of a prompt above which tasks split a Doc into shards, in the task's unit (by
        default words). BLOOM itself has no limit. None to never split.
    RETURNS (Callable[[Iterable[Iterable[str]]], Iterable[Iterable[str]]]): Prompts of each Doc to their responses.
    RAISES (ConfigError): A setting is unknown, out of range, or makes no sense here.
    """
    shim = LanguageModelShim(WeightSettings(name, revision, dtype, storage_dtype))
    return PromptExecutor(shim, config, max_batch_items=max_batch_items, context_length=context_length)


class PromptExecutor:
    """Maps the prompts of each Doc to responses, following the protocol of spacy-llm 0.7. It is saved with the
    pipeline, which does not need the checkpoint afterwards.

    shim (LanguageModelShim): The language model.
    options (Mapping[str, Any]): Options of generation.
    max_batch_items, context_length: See `create_spacy_llm_model`.
    RAISES (ConfigError): See `create_spacy_llm_model`.
    """

    def __init__(
        self,
        shim: LanguageModelShim,
        options: Mapping[str, Any],
        *,
        max_batch_items: Optional[int] = None,
        context_length: Optional[int] = CONTEXT_LENGTH,
    ) -> None:
        check_sizes(max_batch_items=max_batch_items, context_length=context_length)
        self.shim = shim
        self.options = _checked(options)
        self.max_batch_items = max_batch_items
        self._context_length = context_length

    # spacy-llm compares these types with those of the task: they must be typing's.
    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        """Continue the prompts of a batch of Docs together. Control tokens in them are ordinary text.

        prompts (Iterable[Iterable[str]]): The prompts of each Doc.
        RETURNS (Iterable[Iterable[str]]): The response to each, in order, up to the stop string if any.
        """
        per_doc = [list(own) for own in prompts]
        model: Any = self.shim.module.eval()
        tokenizer = self.shim.tokenizer
        config: GenerationConfig = (model.own_generation_config or GenerationConfig(top_k=0)).replace(
            **self.options
        )
        found = generate_batched(
            model,
            tokenizer,
            encode_prompts(tokenizer, [prompt for own in per_doc for prompt in own]),
            config,
            max_batch_items=self.max_batch_items,
        )
        # A stop string is not part of a response.
        responses = (sequences[0].text_before(config.stop_texts) for sequences in found)
        return [[next(responses) for _ in own] for own in per_doc]

    @property
    def context_length(self) -> Optional[int]:
        """RETURNS (Optional[int]): The length of a prompt above which tasks split Docs into shards."""
        return self._context_length

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a checkpoint directory. exclude (Iterable[str]): Ignored; there are no parts."""
        self.shim.to_disk(path)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "PromptExecutor":
        """RETURNS (PromptExecutor): The executor, with the weights mapped from the directory."""
        self.shim.from_disk(path)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Config, tokenizer and weights."""
        return self.shim.to_bytes()

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "PromptExecutor":
        """RETURNS (PromptExecutor): The executor, with what `to_bytes` wrote."""
        self.shim.from_bytes(bytes_data)
        return self


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The options, always with max_new_tokens: a checkpoint's max_length would make long
    prompts fail.
    RAISES (ConfigError): See `create_spacy_llm_model`.
    """
    refuse_options(options, REFUSED)
    checked = with_one_seed(GenerationConfig(**options))
    return {**options, "max_new_tokens": checked.fixed_added, "num_return_sequences": 1}
