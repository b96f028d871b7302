"""A model and everything that is saved with it, as files or as bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from ...bloom.model import BloomModel
from ...checkpoint.directory import Checkpoint
from ...checkpoint.files import MIX_FILE, TensorSource
from ...checkpoint.names import TIED
from ...checkpoint.pretrained import save_checkpoint
from ...checkpoint.quantized import quantization_method
from ...checkpoint.writing import to_store
from ...config import BloomConfig
from ...errors import CheckpointError
from ...files import check_depth, write_file
from ...finetuning.lora import LoraSettings, base_weights, has_lora, merged_weights
from ...generation.causal_lm import BloomForCausalLM
from ...generation.config import GenerationConfig
from ...parallel.pipelines import load_for_pipeline
from ...tokenizer import BloomTokenizerFast
from ..saved_layers import reading
from .adapter_files import adapter_config, named_for_peft, remove_adapter, set_adapter, write_adapter
from .settings import WeightSettings
from .sharing import load_shared

# msgpack counts bytes in 32 bits.
MAX_BYTES = 2**32 - 1
MIX = "layer_mix"


@dataclass(frozen=True)
class SavedModel:
    """What is saved and loaded together.

    module (Any): A BloomModel, or a language model around one; its own weights and its adapters.
    tokenizer (BloomTokenizerFast): Its tokenizer.
    lora (LoraSettings | None): Settings of the module's adapters, if it has any.
    mix (bytes | None): The mixture of its layers, see `LayerMix.to_bytes`.
    where (str): What it was read from, for errors.
    """

    module: Any
    tokenizer: BloomTokenizerFast
    lora: LoraSettings | None = None
    mix: bytes | None = None
    where: str = "memory"

    @classmethod
    def from_disk(
        cls,
        name: str | Path,
        make: Any,
        weights: WeightSettings,
        *,
        revision: str | None = None,
        device: torch.device,
        read_only: bool,
    ) -> "SavedModel":
        """Map a checkpoint into memory.

        name (str | Path): As for `Checkpoint.find`.
        make (type[PretrainedMixin]): The module's class.
        weights (WeightSettings): The dtype to compute in, and how to quantise weights that are in float.
        read_only (bool): Whether nobody trains the module.
        RETURNS (SavedModel): What was read.
        RAISES (CheckpointError): The files are damaged, or the weights are not what the config says.
        """
        checkpoint = Checkpoint.find(name, revision=revision)
        module = load_shared(make, checkpoint, weights, device=device, read_only=read_only)
        lora = None
        if not isinstance(module, BloomModel):
            checkpoint.warn_of_adapter()
        elif checkpoint.adapter is not None:
            lora = set_adapter(module, *checkpoint.adapter)
        tokenizer = BloomTokenizerFast.from_checkpoint(checkpoint)
        return cls(module, tokenizer, lora, checkpoint.layer_mix, str(checkpoint.path))

    @classmethod
    def from_bytes(
        cls, data: bytes, make: Any, weights: WeightSettings, *, device: torch.device
    ) -> "SavedModel":
        """As `from_disk`, of what `to_bytes` has written.

        RAISES (CheckpointError): The bytes are damaged, or the weights are not what the config says.
        """
        with reading("a BLOOM model, as bytes"):
            parts = srsly.msgpack_loads(data)
            config = BloomConfig.from_dict(_from_json(parts["config"]))
            source = TensorSource(load_safetensors(parts["weights"]))
            tokenizer_config = _from_json(parts["tokenizer_config"])
            tokenizer = BloomTokenizerFast.from_strings(parts["tokenizer"], tokenizer_config)
            adapter = TensorSource(load_safetensors(parts["adapter"])) if "adapter" in parts else None
            settings = _from_json(parts["adapter_config"]) if "adapter" in parts else None
            generation = _from_json(parts["generation"]) if "generation" in parts else None
            generates = None if generation is None else GenerationConfig.from_dict(generation)
        module = load_for_pipeline(
            make,
            config,
            source,
            dtype=weights.torch_dtype,
            device=device,
            new_head=False,
            quantization=weights.quantization,
            device_map=weights.device_map,
            adapters=None if adapter is None else "the bytes",
        )
        if generates is not None:
            module.generation_config = generates
        lora = None if adapter is None else set_adapter(module, settings, adapter)
        return cls(module, tokenizer, lora, parts.get(MIX), "the bytes")

    def to_disk(self, path: Path, *, dtype: torch.dtype | None) -> None:
        """Write a checkpoint in the Hugging Face layout, with adapters and mixture beside it.

        path (Path): Directory, made if it does not exist.
        dtype (torch.dtype | None): Dtype of the weights in the files; None is the module's.
        """
        config, weights = self.module.config, self._plain_weights()
        kind, dtype = type(self.module).__name__, dtype or self.module.dtype
        if isinstance(self.module, BloomForCausalLM) and config.tie_word_embeddings:
            # The files of a transformer on the same weights: read again, both are one in memory.
            kind, weights = BloomModel.__name__, self.module.transformer.state_dict()
        save_checkpoint(path, config, weights, kind, dtype=dtype)
        if isinstance(self.module, BloomForCausalLM):
            self.module.save_generation_config(path)
        self.tokenizer.save_pretrained(path)
        if self._adapters is not None:
            write_adapter(self.module, self._adapters, path)
        else:
            remove_adapter(path)
        if self.mix is not None:
            write_file(path / MIX_FILE, self.mix)
        else:
            (path / MIX_FILE).unlink(missing_ok=True)  # of other weights

    def to_bytes(self, *, dtype: torch.dtype | None) -> bytes:
        """dtype (torch.dtype | None): As for `to_disk`.
        RETURNS (bytes): Everything in one.
        RAISES (CheckpointError): The model is too large for spaCy's format, or a weight for the dtype.
        """
        dtype = dtype or self.module.dtype
        self._check_size(dtype)
        tokenizer_json, tokenizer_config = self.tokenizer.to_strings()
        parts = {
            "config": self.module.config.to_json_string(),
            "tokenizer": tokenizer_json,
            "tokenizer_config": srsly.json_dumps(tokenizer_config),
            "weights": save_safetensors(self._weights(dtype)),
        }
        if self._adapters is not None:
            parts["adapter_config"] = srsly.json_dumps(adapter_config(self._adapters))
            parts["adapter"] = save_safetensors(named_for_peft(self.module))
        if self.mix is not None:
            parts[MIX] = self.mix
        generation = getattr(self.module, "own_generation_config", None)
        if generation is not None:
            parts["generation"] = generation.to_json_string()
        return srsly.msgpack_dumps(parts)

    def _weights(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        tied = TIED if self.module.config.tie_word_embeddings else ()
        weights = self._plain_weights()
        return {name: to_store(name, value, dtype) for name, value in weights.items() if name not in tied}

    def _check_size(self, dtype: torch.dtype) -> None:
        size = sum(
            weight.numel() * (dtype if weight.is_floating_point() else weight.dtype).itemsize
            for weight in self.module.parameters()
        )
        if size > MAX_BYTES:
            raise CheckpointError(
                f"Got a model of {size / 2**30:.1f} GiB; bytes can hold at most 4 GiB (a limit of msgpack). "
                "nlp.to_disk has no limit for a bloom_transformer component; a component with a transformer of "
                "its own is written as bytes even then. Share a bloom_transformer, or set storage_dtype = 'bfloat16'."
            )

    @property
    def _adapters(self) -> LoraSettings | None:
        """RETURNS (LoraSettings | None): Settings of the adapters, if they are saved apart from the weights."""
        return self.lora if self.lora is not None and not self.lora.merge and has_lora(self.module) else None

    def _plain_weights(self) -> dict[str, torch.Tensor]:
        """RETURNS (dict[str, Tensor]): The weights of the checkpoint, without adapters or with them merged."""
        if self.lora is None or not has_lora(self.module):
            return self.module.state_dict()
        if self.lora.merge and quantization_method(self.module.config) is not None:
            raise CheckpointError(
                "Got lora.merge = true and quantised weights, which cannot take adapters in. Set lora.merge = false."
            )
        if self.lora.merge:
            return merged_weights(self.module, self.lora)
        return {name: weight.detach() for name, weight in base_weights(self.module).items()}


def _from_json(text: Any) -> Any:
    """RETURNS (Any): What JSON holds. RAISES (ConfigError): It is nested too deeply to be copied and shown."""
    values = srsly.json_loads(text)
    check_depth(values, "the settings of a saved model")
    return values
