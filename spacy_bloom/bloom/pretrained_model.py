"""What BLOOM's classes have in common, by the names of Hugging Face's."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..checkpoint.load import match_names, to_dtype
from ..checkpoint.names import EMBEDDING, PREFIX, TIED_HEAD, is_head
from ..checkpoint.pretrained import PretrainedMixin
from ..config import BloomConfig
from ..errors import InputError
from ..kinship import Kin
from ..settings import check, integer
from .adapters import AdapterMethods
from .arguments import expect_no_head_mask
from .model_methods import ModelMethods
from .resizing import padded_size, resize_embedding, resize_head

# Options of torch's checkpointing. Which of its two ways is taken is not one: one of them loses gradients silently.
CHECKPOINTING = (
    "use_reentrant",
    "preserve_rng_state",
    "context_fn",
    "determinism_check",
    "debug",
    "early_stop",
)


class BloomPreTrainedModel(Kin, ModelMethods, AdapterMethods, PretrainedMixin):
    """What the decoder and its heads share: files, the config, random weights, embeddings, gradient checkpointing.

    config (BloomConfig): The geometry. What the model is built with cannot be changed in it any more.
    SOURCE: transformers' PreTrainedModel in names and arguments.
    """

    _kin = ("transformers.modeling_utils", "PreTrainedModel")
    config_class = BloomConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    # For accelerate: what is not divided, and what is not moved from device to device.
    _no_split_modules: ClassVar[list[str]] = ["BloomBlock"]
    _skip_keys_device_placement = "past_key_values"
    # Fields that are read when a model is built, and so cannot change later.
    _built_with: tuple[str, ...] = (
        "vocab_size",
        "hidden_size",
        "n_layer",
        "n_head",
        "layer_norm_epsilon",
        "apply_residual_connection_post_layernorm",
        "hidden_dropout",
        "attention_dropout",
    )

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        config.build_with(*self._built_with)
        self.config = config
        self.name_or_path = config.name_or_path

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.config.build_with(*self._built_with)

    @classmethod
    def _from_config(
        cls, config: BloomConfig, *, torch_dtype: Any = None, dtype: Any = None, **options: Any
    ) -> Self:
        """RETURNS (Self): A model with random weights, in a dtype."""
        implementation = options.pop("attn_implementation", None)
        if options or implementation not in (None, "eager"):
            raise InputError(f"Expected config and torch_dtype, got {', '.join(options) or implementation}.")
        return cls(config).to(dtype=to_dtype(torch_dtype or dtype) or torch.get_default_dtype())

    def init_weights(self) -> None:
        """Draw random weights as BLOOM's reference does: normal matrices, zero biases, unit layer norms."""
        self.apply(self._init_weights)

    initialize_weights = init_weights

    def post_init(self) -> None:
        """See `init_weights`; for subclasses, which call it when they have made their modules."""
        self.init_weights()
        self.tie_weights()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            draw_normal(module.weight, self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    @property
    def base_model(self) -> Any:
        """RETURNS (BloomModel): The decoder."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the weights are; where accelerate brings them, if it keeps them elsewhere."""
        device = next(self.parameters()).device
        if device.type != "meta":
            return device
        hooks = (getattr(module, "_hf_hook", None) for module in self.modules())
        devices = (getattr(hook, "execution_device", None) for hook in hooks)
        return torch.device(next((found for found in devices if found is not None), device))

    @property
    def dtype(self) -> torch.dtype:
        """RETURNS (torch.dtype): The dtype of the weights; of those that are not integers in a quantised model."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Memory of the weights; tied ones count once."""
        return sum(p.nbytes for p in self.parameters())

    def get_input_embeddings(self) -> nn.Module:
        """RETURNS (Module): The embedding of the pieces."""
        return self.base_model.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put an embedding in the place of the decoder's. The config's vocab_size follows.

        value (Module): From ids to vectors of hidden_size.
        """
        self.base_model.word_embeddings = value
        rows = getattr(value, "num_embeddings", None)
        if rows is not None and rows != self.config.vocab_size:
            self._follow(rows)

    def get_output_embeddings(self) -> Any:
        """RETURNS (LMHead | None): The language-modelling head, if the model has one."""
        return None

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        """RAISES (InputError): The model has no language-modelling head."""
        raise InputError(f"Expected a model with a language-modelling head, got {type(self).__name__}.")

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Module:
        """Add rows to the embedding, or take the last ones away; a head that is not tied follows.

        new_num_tokens (int | None): The new number of rows; None for what there are.
        pad_to_multiple_of (int | None): Round it up to a multiple.
        mean_resizing (bool): Whether new rows are drawn around the mean of the old ones, so that new pieces take
            little probability from others; False draws them like those of a new model.
        RETURNS (Module): The embedding.
        RAISES (InputError): A quantised or divided embedding, or no such number.
        """
        embedding: Any = self.get_input_embeddings()
        head = self.get_output_embeddings()
        if new_num_tokens is None and pad_to_multiple_of is None:
            return embedding
        old = embedding.weight.shape[0]
        if new_num_tokens is not None:
            check("new_num_tokens", new_num_tokens, integer(1, 2**24), error=InputError)
        size = padded_size(old if new_num_tokens is None else new_num_tokens, pad_to_multiple_of)
        drawn = None if mean_resizing else self._init_weights
        resize_embedding(embedding, size, init=drawn)
        if head is not None and not self.config.tie_word_embeddings:
            resize_head(head, size, init=drawn)
        self._follow(size)
        self.tie_weights()
        if isinstance(head, nn.Linear):
            head.out_features = head.vocab_size = size  # type: ignore[assignment]
        return embedding

    def _follow(self, rows: int) -> None:
        self.config.follow(vocab_size=rows)
        if self.base_model is not self and self.base_model.config is not self.config:
            self.base_model.config.follow(vocab_size=rows)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As of torch's modules. Names may be with or without the decoder's prefix; a tied head may be left out, and
        heads of other classes are not read.
        """
        own = {name for name, _ in self.named_parameters(remove_duplicate=False)}
        own.update(name for name, _ in self.named_buffers(remove_duplicate=False))
        if own != set(state_dict):
            state_dict = _with_own_names(state_dict, own, tied=self.config.tie_word_embeddings)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def get_head_mask(
        self, head_mask: None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> list[None]:
        """RETURNS (list[None]): None for each block. RAISES (InputError): There is a mask; see `forward`."""
        expect_no_head_mask(head_mask)
        return [None] * num_hidden_layers

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Recompute each block in the backward pass instead of keeping its activations.

        gradient_checkpointing_kwargs (Mapping | None): Options of torch's `checkpoint`. Blocks are never entered again
            from inside a backward pass (use_reentrant), which would lose gradients beside frozen weights.
        RAISES (InputError): Unknown options.
        """
        from torch.utils.checkpoint import (
            checkpoint,
        )  # older versions of torch import all their compilers for it

        options = dict(gradient_checkpointing_kwargs or {})
        unknown = sorted(set(options) - set(CHECKPOINTING))
        if unknown:
            raise InputError(f"Expected options among {', '.join(CHECKPOINTING)}; got {', '.join(unknown)}.")
        self._set_gradient_checkpointing(True, partial(checkpoint, **{**options, "use_reentrant": False}))

    def gradient_checkpointing_disable(self) -> None:
        """Keep the activations of all blocks for the backward pass."""
        self._set_gradient_checkpointing(False, None)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """RETURNS (bool): Whether blocks are recomputed in the backward pass."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def _set_gradient_checkpointing(self, enable: bool, function: Callable[..., Any] | None) -> None:
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = enable  # type: ignore[assignment]
                module.checkpoint = function  # type: ignore[assignment]

    def _wants_dict(self, return_dict: bool | None) -> bool:
        return self.config.use_return_dict if return_dict is None else return_dict


def draw_normal(weight: Tensor, std: float) -> None:
    """Draw a matrix; leave one on the meta device, where torch would import for a second to draw nothing."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


def _with_own_names(state: Mapping[str, Any], own: set[str], *, tied: bool) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Weights by the names in the model, as far as it has them."""
    found = {name: state[theirs] for name, theirs in match_names(state, own).items()}
    found = {name: value for name, value in found.items() if name in own or not is_head(name)}
    if tied and TIED_HEAD in own and TIED_HEAD not in found and PREFIX + EMBEDDING in found:
        found[TIED_HEAD] = found[PREFIX + EMBEDDING]
    return found
