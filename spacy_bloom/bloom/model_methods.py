"""Further methods of Hugging Face's models: counts, hooks, and what is not for BLOOM here, which says so."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..config import BloomConfig
from ..errors import BloomWarning, InputError
from .task_losses import next_piece_loss

_DUMMY_IDS = ((7, 6, 0, 0, 1), (1, 2, 3, 0, 0), (0, 0, 0, 4, 5))


class ModelMethods(nn.Module):
    """SOURCE: transformers' PreTrainedModel and its mixins."""

    config: BloomConfig
    main_input_name = "input_ids"
    framework = "pt"
    model_tags: list[str] | None = None
    is_parallelizable = model_parallel = False
    supports_tp_plan = supports_pp_plan = False
    tp_size = None
    generation_config: Any = None
    _require_grads_hook: Any = None
    _task_loss: Callable[..., Any] = staticmethod(next_piece_loss)

    def get_input_embeddings(self) -> nn.Module:
        """See BloomPreTrainedModel."""
        raise NotImplementedError

    @classmethod
    def can_generate(cls) -> bool:
        """RETURNS (bool): Whether the class has `generate`."""
        return hasattr(cls, "generate")

    @classmethod
    def is_backend_compatible(cls) -> bool:
        """RETURNS (bool): False: attention cannot be replaced by functions of others."""
        return False

    @property
    def loss_type(self) -> str | None:
        """RETURNS (str | None): Name of the task, for example "ForCausalLM"."""
        task = type(self).__name__.removeprefix("Bloom")
        return task if task.startswith("For") else None

    @property
    def loss_function(self) -> Callable[..., Any]:
        """RETURNS (Callable): From logits and labels, the loss of the class's task; of next pieces if it has none. The
        language model uses another if one is set. See `task_losses`.
        """
        return self.__dict__.get("_loss_function", self._task_loss)

    @loss_function.setter
    def loss_function(self, value: Callable[..., Any]) -> None:
        self.__dict__["_loss_function"] = value

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """RETURNS (dict[str, Tensor]): A batch to try the model with."""
        return {"input_ids": torch.tensor(_DUMMY_IDS)}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """RETURNS (int): Number of weights, tied ones counted once; of those that learn, or of those that are not the
        embedding's.
        """
        left_out = {id(p) for p in self.get_input_embeddings().parameters()} if exclude_embeddings else set()
        counted = [p for p in self.parameters() if id(p) not in left_out]
        return sum(p.numel() for p in counted if p.requires_grad or not only_trainable)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """RETURNS (int): Bytes of the weights, and of the buffers if asked for; tied weights count once."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    def estimate_tokens(self, input_dict: Mapping[str, Any]) -> int:
        """RETURNS (int): Number of pieces in a batch; 0 without ids."""
        ids = input_dict.get(self.main_input_name)
        return 0 if ids is None else ids.numel()

    def floating_point_ops(self, input_dict: Mapping[str, Any], exclude_embeddings: bool = True) -> int:
        """RETURNS (int): Operations of a forward and a backward pass over a batch, roughly: 6 for a piece and a weight.
        SOURCE: Kaplan et al. 2020 (arXiv 2001.08361).
        """
        return (
            6 * self.estimate_tokens(input_dict) * self.num_parameters(exclude_embeddings=exclude_embeddings)
        )

    @property
    def warnings_issued(self) -> dict[str, bool]:
        """RETURNS (dict[str, bool]): What a trainer has warned of; the trainer's to fill."""
        return self.__dict__.setdefault("_warnings_issued", {})

    def enable_input_require_grads(self) -> None:
        """Let gradients flow to the output of the embedding, so that adapters above frozen weights learn beside
        gradient checkpointing of other libraries.
        """
        self._require_grads_hook = self.get_input_embeddings().register_forward_hook(_require_grad)

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        if self._require_grads_hook is not None:
            self._require_grads_hook.remove()
            self._require_grads_hook = None

    def add_model_tags(self, tags: list[str] | str) -> None:
        """Add tags of a model card to `model_tags`, once each."""
        given = [tags] if isinstance(tags, str) else list(tags)
        self.model_tags = [
            *(self.model_tags or []),
            *(tag for tag in given if tag not in (self.model_tags or [])),
        ]

    def get_parameter_or_buffer(self, target: str) -> Any:
        """RETURNS (Tensor): A weight or buffer by its name. RAISES (AttributeError): There is none."""
        found = {**dict(self.named_buffers()), **dict(self.named_parameters(remove_duplicate=False))}
        if target not in found:
            raise AttributeError(f"{target!r} is neither a parameter nor a buffer of {type(self).__name__}.")
        return found[target]

    def retrieve_modules_from_names(
        self, names: Any, add_prefix: bool = False, remove_prefix: bool = False
    ) -> list[nn.Module]:
        """RETURNS (list[Module]): The modules that own the weights of these names."""
        owners = {name.rpartition(".")[0] for name in names}
        if remove_prefix:
            owners = {name.removeprefix("transformer.") for name in owners}
        if add_prefix:
            owners = {name if name.startswith("transformer.") else f"transformer.{name}" for name in owners}
        return [module for name, module in self.named_modules() if name in owners]

    def warn_if_padding_and_no_attention_mask(self, input_ids: Tensor, attention_mask: Tensor | None) -> None:
        """Warn if ids begin or end with padding that no mask tells of."""
        pad = self.config.pad_token_id
        if attention_mask is None and pad is not None and bool((input_ids[:, [-1, 0]] == pad).any()):
            warnings.warn(
                "Expected an attention_mask, as input_ids seem to be padded: without one, padding is read like text.",
                BloomWarning,
                stacklevel=2,
            )

    def get_compiled_call(self, compile_config: Any = None) -> Any:
        """RETURNS (Callable): The forward pass under `torch.compile`.

        compile_config (Any): It has `to_dict()` with torch's options; None for its defaults.
        """
        options = {} if compile_config is None else dict(compile_config.to_dict())
        return torch.compile(self.__call__, **options)

    def prune_heads(self, heads_to_prune: Any) -> NoReturn:
        """RAISES (InputError): Always."""
        raise InputError(
            "Got prune_heads: no attention head can be left out, as BLOOM's biases go by the number of heads."
        )

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> NoReturn:
        """RAISES (NotImplementedError): Always, as in Hugging Face: BLOOM has biases in their place."""
        raise NotImplementedError("BLOOM has no position embeddings: its biases reach to any length.")

    def get_position_embeddings(self) -> NoReturn:
        """RAISES (NotImplementedError): Always; see `resize_position_embeddings`."""
        raise NotImplementedError("BLOOM has no position embeddings: its biases reach to any length.")

    def dequantize(self) -> NoReturn:
        """RAISES (InputError): Always: integers do not say what the floats were."""
        raise InputError(
            "Expected a checkpoint in float to be loaded again: integers do not say what the floats were."
        )

    def to_bettertransformer(self) -> NoReturn:
        """RAISES (InputError): Always: the fast paths are built in."""
        raise InputError("Got to_bettertransformer: the model uses torch's fast kernels as it is.")

    reverse_bettertransformer = to_bettertransformer

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> NoReturn:
        """RAISES (InputError): Always: no code is saved beside a checkpoint."""
        raise InputError(
            "Got register_for_auto_class: checkpoints hold no code. Import the class from spacy_bloom."
        )

    def push_to_hub(self, *args: Any, **options: Any) -> NoReturn:
        """RAISES (InputError): Always."""
        raise InputError(
            "Got push_to_hub: save with `save_pretrained`, and upload the directory with huggingface_hub's "
            "`upload_folder`."
        )


def _require_grad(module: nn.Module, args: Any, output: Tensor) -> None:
    output.requires_grad_(True)
