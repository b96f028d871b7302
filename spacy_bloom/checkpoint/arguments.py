"""The arguments with which scripts for Hugging Face's classes load and save models."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from ..errors import InputError
from ..settings import shown

# Of downloads, handed on to `find_checkpoint`.
WHERE = ("cache_dir", "token", "force_download", "subfolder", "variant")
# Loading takes little memory in any case, downloads go on where they stopped, and nothing is written to a folder.
WITHOUT_EFFECT = (
    "low_cpu_mem_usage", "resume_download", "mirror", "proxies", "offload_folder", "offload_state_dict",
    "offload_buffers", "adapter_kwargs", "adapter_name", "_fast_init", "_from_auto", "_from_pipeline", "_commit_hash",
)  # fmt: skip
_INT8 = "Pass quantization='int8' instead: exact products of integers on any CPU."
REFUSED = {
    "trust_remote_code": "No code of a checkpoint is ever run; BLOOM's own is here.",
    "load_in_8bit": _INT8,
    "load_in_4bit": _INT8,
    "quantization_config": _INT8,
    "from_tf": "Weights of TensorFlow are not read: convert them with transformers.",
    "from_flax": "Weights of Flax are not read: convert them with transformers.",
    "gguf_file": "Weights are read from safetensors or weights-only .bin files.",
    "key_mapping": "The names of the weights are those of BLOOM's checkpoints, with or without `transformer.`.",
    "tp_plan": "Pass tensor_parallel=True under torchrun.",
    "tp_size": "Pass tensor_parallel=True under torchrun.",
    "device_mesh": "Pass tensor_parallel=True under torchrun.",
    "use_kernels": "The kernels are torch's and this package's.",
    "push_to_hub": "Upload the directory with huggingface_hub's `upload_folder`.",
}
SEVERAL_DEVICES = ("auto", "balanced", "balanced_low_0", "sequential")


def take_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Take what is not a field of the config out of the further arguments of `from_pretrained`.

    options (dict[str, Any]): Loses what is taken.
    RETURNS (dict[str, Any]): Those that say where weights are from; `torch_dtype`, if given.
    RAISES (InputError): What is not done here; the error says what is.
    """
    refuse(options)
    for name in WITHOUT_EFFECT:
        options.pop(name, None)
    if options.pop("weights_only", True) is not True:
        raise InputError(
            "Expected weights_only to be True: files are data, and nothing else in them is read."
        )
    implementation = options.pop("attn_implementation", None)
    if implementation not in (None, "eager"):
        raise InputError(
            f"Expected attn_implementation to be 'eager' or None, got {shown(implementation)}: BLOOM's biases need it. "
            "The fused kernels that can take them are used in any case."
        )
    token = options.pop("use_auth_token", None)
    if token is not None:
        options["token"] = token
    return {name: options.pop(name) for name in (*WHERE, "torch_dtype") if name in options}


def refuse(options: dict[str, Any]) -> None:
    """Take out arguments that may only be what they are without being given.

    RAISES (InputError): One is something else.
    """
    for name, advice in REFUSED.items():
        value = options.pop(name, None)
        if value is not None and value is not False:
            raise InputError(f"Got {name}={shown(value)}. {advice}")


def one_device(device_map: Any) -> Any:
    """RETURNS (str | int | torch.device | None): The device that a map puts everything on. None if there may be
    several; "auto" is the CPU where there is neither a GPU nor accelerate, which may leave weights in the files.
    """
    if isinstance(device_map, Mapping):
        devices = {str(device): device for device in device_map.values()}
        found = next(iter(devices.values())) if len(devices) == 1 else None
        return None if found == "disk" else found
    if isinstance(device_map, str) and device_map in SEVERAL_DEVICES:
        return None if torch.cuda.is_available() or find_spec("accelerate") else "cpu"
    return device_map
