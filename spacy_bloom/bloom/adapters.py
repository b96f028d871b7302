"""Adapters of peft by the methods of Hugging Face's models: added, loaded, chosen, left out, saved, deleted."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..checkpoint.writing import to_store
from ..errors import BloomWarning, CheckpointError, InputError
from .peft_files import (
    PEFT_PREFIX,
    import_peft,
    match_weights,
    read_settings,
    read_weights,
    renamed,
    write_adapter,
)

DEFAULT = "default"  # the name of an adapter without one


class AdapterMethods(nn.Module):
    """Adapters that are put into a model: LoRA, IA3 and others that stand beside its layers. Its own weights are frozen
    by the first.

    peft_config (dict[str, PeftConfig]): Settings by the adapters' names; not there without adapters.
    SOURCE: transformers' PeftAdapterMixin. Unlike there, one that does not fit leaves the model as it was, and the last
        one that is deleted takes peft's layers with it.
    """

    peft_config: dict[str, Any]
    _hf_peft_config_loaded = False  # by this name transformers' Trainer knows of adapters

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Add an adapter with new weights, which learn, and use it alone.

        adapter_config (PeftConfig): Its settings.
        adapter_name (str | None): "default" if None.
        RAISES (InputError): There is one of this name, or settings that fit no layer.
        """
        name = self._new_name(adapter_name)
        _expect_settings(adapter_config)
        adapter_config.base_model_name_or_path = self.__dict__.get("name_or_path")
        self._inject(adapter_config, name)
        self.set_adapter(name)

    def load_adapter(
        self,
        peft_model_id: str | None = None,
        adapter_name: str | None = None,
        revision: str | None = None,
        token: Any = None,
        device_map: Any = "auto",
        max_memory: Any = None,
        offload_folder: Any = None,
        offload_index: Any = None,
        peft_config: Any = None,
        adapter_state_dict: Mapping[str, Tensor] | None = None,
        low_cpu_mem_usage: bool = False,
        is_trainable: bool = False,
        adapter_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an adapter from peft's files, or with settings and weights of the caller's.

        peft_model_id (str | None): Directory, or name on the Hub.
        adapter_name (str | None): "default" if None.
        revision, token (Any): For the Hub.
        peft_config (PeftConfig | None): Settings, instead of those in the files.
        adapter_state_dict (Mapping[str, Tensor] | None): Weights by their names in peft's files, without a
            peft_model_id.
        is_trainable (bool): Whether an adapter from files learns; if not, the model goes to evaluation mode.
        adapter_kwargs (Mapping | None): For the Hub, as cache_dir and subfolder; and key_mapping, replacements of
            patterns in the weights' names.
        device_map, max_memory, offload_folder, offload_index, low_cpu_mem_usage: Not used: the weights go where the
            layers beside them are.
        RAISES (CheckpointError): No such files, or weights that are not what the settings say.
        RAISES (InputError): There is an adapter of this name, or nothing to load.
        """
        name, options = self._new_name(adapter_name), dict(adapter_kwargs or {})
        if peft_model_id is None and (peft_config is None or adapter_state_dict is None):
            raise InputError("Expected a peft_model_id, or a peft_config and an adapter_state_dict.")
        patterns = options.pop("key_mapping", None) or {}
        options = {"token": token, **({} if revision is None else {"revision": revision}), **options}
        options.pop("device", None)
        if peft_config is None:
            peft_config = read_settings(peft_model_id, options)
            peft_config.inference_mode = not is_trainable
        _expect_settings(peft_config)
        weights = adapter_state_dict or {}
        if peft_model_id is not None:
            weights = read_weights(peft_model_id, options)
        self._inject(peft_config, name)
        try:
            self._set_weights(name, renamed(weights, patterns), str(peft_model_id or "adapter_state_dict"))
        except Exception:
            self._remove(name)
            raise
        if peft_config.inference_mode:
            self.eval()

    def set_adapter(self, adapter_name: list[str] | str) -> None:
        """Use one adapter, or several at once, and no others. RAISES (InputError): There are none of these names."""
        self._expect_adapters(adapter_name)
        for module in self._peft_layers():
            module.set_adapter(adapter_name)

    def disable_adapters(self) -> None:
        """Leave all adapters out. RAISES (InputError): There are none."""
        self._expect_adapters()
        for module in self._peft_layers():
            module.enable_adapters(enabled=False)

    def enable_adapters(self) -> None:
        """Undo `disable_adapters`. RAISES (InputError): There are none."""
        self._expect_adapters()
        for module in self._peft_layers():
            module.enable_adapters(enabled=True)

    def active_adapters(self) -> list[str]:
        """RETURNS (list[str]): Names of those in use. RAISES (InputError): There are none."""
        self._expect_adapters()
        tuner = import_peft("adapters").tuners.tuners_utils.BaseTunerLayer
        active = next(module.active_adapter for module in self.modules() if isinstance(module, tuner))
        return [active] if isinstance(active, str) else active

    def active_adapter(self) -> str:
        """RETURNS (str): Name of the first in use; deprecated in Hugging Face."""
        warnings.warn("Use active_adapters() instead of active_adapter().", FutureWarning, stacklevel=2)
        return self.active_adapters()[0]

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """RETURNS (dict[str, Tensor]): An adapter's weights by their names in peft's files without their prefix.

        adapter_name (str | None): None for the first in use.
        state_dict (dict[str, Tensor] | None): The model's weights, if they are not to be asked for.
        RAISES (InputError): There is none of this name.
        """
        self._expect_adapters(() if adapter_name is None else adapter_name)
        name = self.active_adapters()[0] if adapter_name is None else adapter_name
        peft = import_peft("adapters")
        return peft.get_peft_model_state_dict(self, state_dict=state_dict, adapter_name=name)

    def delete_adapter(self, adapter_names: list[str] | str) -> None:
        """Take adapters out. RAISES (InputError): There are none of these names."""
        self._expect_adapters(adapter_names)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            self._remove(name)

    def _save_adapter(
        self, path: Path, state_dict: Any, *, dtype: Any, variant: str | None, peft_format: bool
    ) -> bool:
        """Write the adapter in use instead of a checkpoint. RETURNS (bool): Whether there is one.

        SOURCE: `save_pretrained` of transformers, which writes no weights beside an adapter's either.
        """
        if not self._hf_peft_config_loaded:
            return False
        active = self.active_adapters()
        if len(active) > 1:
            raise InputError(
                f"Expected one adapter in use, got {', '.join(active)}. Save them one by one, each after `set_adapter`."
            )
        prefix = PEFT_PREFIX if peft_format else ""
        weights = self.get_adapter_state_dict(active[0], state_dict)
        stored = {prefix + name: to_store(name, value, dtype).clone() for name, value in weights.items()}
        write_adapter(path, self.peft_config[active[0]], stored, variant)
        return True

    def _new_name(self, name: str | None) -> str:
        if self._hf_peft_config_loaded and (name or DEFAULT) in self.peft_config:
            raise InputError(
                f"Expected a new adapter_name, got {name or DEFAULT!r}, which is there. Delete it, or choose another."
            )
        return name or DEFAULT

    def _expect_adapters(self, names: Sequence[str] | str = ()) -> None:
        if not self._hf_peft_config_loaded:
            raise InputError("Expected a model with adapters: use add_adapter or load_adapter first.")
        missing = [n for n in ([names] if isinstance(names, str) else names) if n not in self.peft_config]
        if missing:
            there = ", ".join(self.peft_config)
            raise InputError(f"Expected names of adapters, among {there}; got {', '.join(missing)}.")

    def _peft_layers(self) -> list[Any]:
        peft = import_peft("adapters")
        kinds = (peft.tuners.tuners_utils.BaseTunerLayer, peft.utils.ModulesToSaveWrapper)
        return [module for module in self.modules() if isinstance(module, kinds)]

    def _inject(self, config: Any, name: str) -> None:
        """Put an adapter into the model, or leave it as it is. The new layers are in the mode of the others."""
        peft = import_peft("adapters")
        places = {str(place) for place in getattr(self, "hf_device_map", {}).values()}
        if len(places) > 1 and places & {"cpu", "disk"}:
            raise InputError(
                "Expected a model that is all on its devices, got one with layers left out of them."
            )
        training = self.training
        try:
            peft.inject_adapter_in_model(config, self, name)
        except ValueError as error:
            self._remove(name)
            raise InputError(f"Expected settings of an adapter that fit the model: {error}") from error
        self.train(training)
        self._hf_peft_config_loaded = True

    def _set_weights(self, name: str, weights: Mapping[str, Tensor], source: str) -> None:
        """Set an adapter's weights. RAISES (CheckpointError): Missing or misshapen weights; all are listed."""
        peft = import_peft("adapters")
        wanted = set(peft.get_peft_model_state_dict(self, adapter_name=name, save_embedding_layers=False))
        found, others = match_weights(weights, wanted | set(self.state_dict()))
        missing = sorted(wanted - set(found))
        if missing:
            raise CheckpointError(f"Expected all weights of the adapter in {source}; missing: {missing}.")
        if others:
            warnings.warn(
                f"The adapter in {source} comes with weights that are not the model's, and are not read: {others}.",
                BloomWarning,
                stacklevel=3,
            )
        try:
            peft.set_peft_model_state_dict(self, found, name)
        except RuntimeError as error:
            raise CheckpointError(f"Expected weights that fit the adapter in {source}: {error}") from error

    def _remove(self, name: str) -> None:
        """Take an adapter out, as far as it is in."""
        for module in self._peft_layers():
            if hasattr(module, "modules_to_save"):
                module.delete_adapter(name, new_active_adapters=None)
            else:
                module.delete_adapter(name)
        configs = getattr(self, "peft_config", {})
        configs.pop(name, None)
        if not configs:
            self._unwrap()
            self.__dict__.pop("peft_config", None)
            self._hf_peft_config_loaded = False

    def _unwrap(self) -> None:
        """Put the layers back where peft's are around them."""
        wrappers = self._peft_layers()
        child: Any
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if any(child is wrapper for wrapper in wrappers):
                    tuned = hasattr(child, "get_base_layer")
                    setattr(parent, name, child.get_base_layer() if tuned else child.original_module)


def _expect_settings(config: Any) -> None:
    if not isinstance(config, import_peft("adapters").PeftConfig):
        raise InputError(f"Expected a PeftConfig, got {type(config).__name__}.")
