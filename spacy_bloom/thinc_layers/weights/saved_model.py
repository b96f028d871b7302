"""What a shim writes and reads: weights, tokenizer, adapters and mixed layers, as files or as bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from ...checkpoint.names import TIED_HEAD
from ...checkpoint.writing import to_store
from ...config import BloomConfig
from ...errors import CheckpointError
from ...finetuning.lora import LoraSettings, base_weights, has_lora, merged_weights
from ...generation.config import GenerationConfig
from ...pretrained import BloomModel
from ...tokenizer import BloomTokenizerFast
from .adapter_files import adapter_config, named_for_peft, remove_adapter, write_adapter
from .layer_mix import FILE as MIX_FILE
from .layer_mix import LayerMix

# msgpack counts bytes in 32 bits.
MAX_BYTES = 2**32 - 1
MIX = "layer_mix"


@dataclass(frozen=True)
class SavedModel:
    """What is to be written.

    module (BloomModel): The decoder.
    tokenizer (BloomTokenizerFast): Its tokenizer.
    dtype (torch.dtype | None): Of the weights that are written; None for that of the module.
    lora (LoraSettings | None): What the module's adapters are, if it has some.
    mix (LayerMix | None): How its layers are mixed, if they are.
    """

    module: BloomModel
    tokenizer: BloomTokenizerFast
    dtype: torch.dtype | None
    lora: LoraSettings | None
    mix: LayerMix | None

    def to_disk(self, path: Path) -> None:
        """Write a checkpoint in the Hugging Face layout, and what else there is beside it.

        path (Path): Directory, made if it does not exist.
        """
        self._plain().save_pretrained(path, dtype=self.dtype)
        self.tokenizer.save_pretrained(path)
        if self._adapters is not None:
            write_adapter(self.module, self._adapters, path)
        else:
            remove_adapter(path)
        if self.mix is not None:
            self.mix.to_disk(path)
        else:
            (path / MIX_FILE).unlink(missing_ok=True)  # of other weights

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): All in one.
        RAISES (CheckpointError): It is too large for spaCy's format; write it to disk instead. Or a weight is too large
            for the dtype.
        """
        dtype = self.dtype or self.module.dtype
        size = self.module.num_parameters() * dtype.itemsize
        if size > MAX_BYTES:
            raise CheckpointError(
                f"Got a model of {size / 2**30:.1f} GiB; bytes can hold at most 4 GiB (a limit of msgpack). "
                "nlp.to_disk has no limit for a bloom_transformer component; a component with a transformer of "
                "its own is written as bytes even then. Share a bloom_transformer, or set storage_dtype = 'bfloat16'."
            )
        tokenizer_json, tokenizer_config = self.tokenizer.to_strings()
        tied = {TIED_HEAD} if self.module.config.tie_word_embeddings else set()
        weights = {
            name: to_store(name, value, dtype)
            for name, value in self._plain().state_dict().items()
            if name not in tied
        }
        parts = {
            "config": self.module.config.to_json_string(),
            "tokenizer": tokenizer_json,
            "tokenizer_config": srsly.json_dumps(tokenizer_config),
            "weights": save_safetensors(weights),
        }
        if self._adapters is not None:
            parts["adapter_config"] = srsly.json_dumps(adapter_config(self._adapters))
            parts["adapter"] = save_safetensors(named_for_peft(self.module))
        if self.mix is not None:
            parts[MIX] = self.mix.to_bytes()
        generation = getattr(self.module, "generation_config", None)
        if generation is not None:
            parts["generation"] = generation.to_json_string()
        return srsly.msgpack_dumps(parts)

    @property
    def _adapters(self) -> LoraSettings | None:
        """RETURNS (LoraSettings | None): What adapters are written by themselves."""
        return self.lora if self.lora is not None and not self.lora.merge and has_lora(self.module) else None

    def _plain(self) -> BloomModel:
        """RETURNS (BloomModel): What is written as a checkpoint: the module, without adapters or with them merged."""
        if self.lora is None or not has_lora(self.module):
            return self.module
        weights = {name: weight.detach() for name, weight in base_weights(self.module).items()}
        if self.lora.merge:
            weights = merged_weights(self.module, self.lora)
        with torch.device("meta"):
            model = BloomModel(self.module.config)
        model.load_state_dict(weights, assign=True)
        return model


@dataclass(frozen=True)
class ModelParts:
    """What `SavedModel.to_bytes` has written, taken apart.

    config (BloomConfig), weights (dict[str, Tensor]), tokenizer (BloomTokenizerFast): The checkpoint.
    adapter (dict[str, Tensor] | None), adapter_config (Any): Adapters and what they are, under peft's names.
    mix (bytes | None): For `LayerMix.from_bytes`.
    generation (GenerationConfig | None): What a language model generates with.
    """

    config: BloomConfig
    weights: dict[str, torch.Tensor]
    tokenizer: BloomTokenizerFast
    adapter: dict[str, torch.Tensor] | None
    adapter_config: Any
    mix: bytes | None
    generation: GenerationConfig | None

    @classmethod
    def from_bytes(cls, data: bytes) -> "ModelParts":
        """RAISES (CheckpointError): The bytes are damaged."""
        try:
            parts = srsly.msgpack_loads(data)
            return cls(
                config=BloomConfig.from_dict(srsly.json_loads(parts["config"])),
                weights=load_safetensors(parts["weights"]),
                tokenizer=BloomTokenizerFast.from_strings(
                    parts["tokenizer"], srsly.json_loads(parts["tokenizer_config"])
                ),
                adapter=load_safetensors(parts["adapter"]) if "adapter" in parts else None,
                adapter_config=srsly.json_loads(parts["adapter_config"]) if "adapter" in parts else None,
                mix=parts.get(MIX),
                generation=GenerationConfig.from_dict(srsly.json_loads(parts["generation"]))
                if "generation" in parts
                else None,
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"Expected the bytes of a BLOOM model, got something else: {error!r}."
            ) from error
