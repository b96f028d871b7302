"""Layers over devices: blocks of a model on several GPUs, in the CPU's memory and in the files, by accelerate.

Which block is where is accelerate's to say, or the caller's; a block that is not on a GPU comes to it when it is run.
What is on "disk" stays in the checkpoint's own files, mapped into memory: nothing is written to another folder.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..bloom.block import BloomBlock
from ..bloom.heads import BloomLanguageModel
from ..bloom.lm_head import LinearLMHead, LMHead
from ..bloom.model import BloomModel, BloomPreTrainedModel
from ..bloom.views import BatchView
from ..checkpoint.files import WeightFiles
from ..checkpoint.load import Place, frame_model, load_model, match_names
from ..checkpoint.names import EMBEDDING, HEAD_CLASSES, TIED_HEAD
from ..checkpoint.quantized import quantization_method
from ..config import BloomConfig
from ..errors import InputError
from .becoming import become, become_also

BLOCK = BloomBlock.__name__
UNIT = re.compile(
    r"(?:transformer\.)?(?:h\.\d+|word_embeddings|word_embeddings_layernorm|ln_f)|" + "|".join(HEAD_CLASSES)
)
INSIDE_BLOCK = re.compile(r"(?:transformer\.)?h\.\d+\..+")
WAYS = ("auto", "balanced", "balanced_low_0", "sequential")
DISK, CPU, META = "disk", "cpu", "meta"
DeviceMap = str | int | torch.device | Mapping[str, str | int | torch.device]
ModelT = TypeVar("ModelT", bound=BloomPreTrainedModel)


class Placed(BloomPreTrainedModel):
    """A model whose weights are in several places. It only predicts.

    weights (StoredWeights): Those that are not on a device.
    main_device (torch.device): Where batches begin and end.
    """

    weights: "StoredWeights"
    main_device: torch.device

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where inputs go, and where results are."""
        return self.main_device

    def train(self, mode: bool = True) -> Any:
        """RAISES (InputError): Weights that come and go do not learn."""
        if mode:
            raise InputError(
                "Got train() of a model with a device_map, which only predicts. Load it without to train it."
            )
        return super().train(mode)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """RETURNS (dict[str, Tensor]): All weights; those that are in files as they are there."""
        found, prefix = super().state_dict(*args, **kwargs), kwargs.get("prefix", "")
        for name in [name for name, value in found.items() if value.is_meta and name.startswith(prefix)]:
            found[name] = self.weights[name.removeprefix(prefix)]
        return found


class PlacedDecoder(Placed):
    """A decoder, whose states come back to the device they started from."""

    def _run(self, embeds: Tensor, view: BatchView, keep_all: bool) -> list[Tensor]:
        return [states.to(self.main_device) for states in super()._run(embeds, view, keep_all)]  # type: ignore[misc]

    def place_head(self, language_model: Any) -> None:
        """Let the head of a language model around this decoder find its weights where they are."""
        head, accelerate = language_model.lm_head, import_accelerate()
        own = _without(self.weights, "word_embeddings.")
        options = {"offload": True, "weights_map": own} if head.weight.is_meta else {}
        hook = accelerate.hooks.AlignDevicesHook(self.main_device, io_same_device=True, **options)
        accelerate.hooks.add_hook_to_module(head, hook)
        become(head, PlacedHead)
        become_also(language_model, Placed)
        language_model.main_device, language_model.weights = self.main_device, self.weights


class PlacedHead(LinearLMHead):
    """A head that is always called, so that its weights come when they are needed."""

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """See LMHead."""
        return LMHead.logits(self, hidden, pieces=pieces)


class StoredWeights(Mapping[str, Tensor]):
    """Weights by their names in the model, in memory or in the checkpoint's files.

    held (Mapping[str, Tensor]): Those in memory.
    source (WeightFiles): The files.
    names (Mapping[str, str]): Names in the files by names in the model.
    dtype (torch.dtype | None): What weights of the files are converted to when they are read; None for none.
    """

    def __init__(
        self, held: Mapping[str, Tensor], source: Any, names: Mapping[str, str], dtype: torch.dtype | None
    ) -> None:
        self.held, self.source, self.names, self.dtype = held, source, names, dtype

    def __getitem__(self, name: str) -> Tensor:
        """RETURNS (Tensor): The weight, on the CPU."""
        return self.held[name] if name in self.held else self.source[self.names[name]].to(dtype=self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def load_placed(
    make: Callable[[BloomConfig], ModelT],
    config: BloomConfig,
    source: WeightFiles,
    *,
    device_map: DeviceMap,
    dtype: torch.dtype | None = None,
    max_memory: Mapping[int | str, int | str] | None = None,
    new_head: bool = True,
    quantization: str | None = None,
) -> ModelT:
    """Build a model with its layers over devices; see `load_model`.

    device_map (DeviceMap): "auto" fills the GPUs one after the other, then the CPU's memory, and leaves the rest in the
        files ("balanced", "balanced_low_0", "sequential": as in accelerate); a device for all; or devices by names of
        modules: "cpu", "disk", the number of a GPU.
    max_memory (Mapping | None): Bytes, or text such as "20GB", by device, for "auto"; None for what is free.
    RETURNS (BloomPreTrainedModel): The model, in evaluation mode.
    RAISES (InputError): A map that leaves out weights or divides a block, integers, or accelerate is not installed.
    """
    if quantization is not None or quantization_method(config) is not None:
        raise InputError(
            "Got device_map with quantised weights, which are prepared for the CPU as a whole. Use float weights, or "
            "leave device_map out."
        )
    frame = frame_model(make, config)
    frame.tie_weights()
    places = _complete(frame, _map_of(frame, device_map, dtype or _file_dtype(source), max_memory), config)
    devices = {key: META if device == DISK else device for key, device in places.items()}
    main = _main_device(places)
    model = load_model(
        make,
        config,
        source,
        dtype=dtype,
        placement=lambda name, shape: Place(devices[_module_of(name, devices)]),
        new_head=new_head,
    )
    model.hf_device_map = dict(places)  # type: ignore[assignment]
    if len(set(places.values())) > 1 or DISK in places.values():
        _dispatch(model, places, main, source)
    return model


def view_on(view: Any, device: torch.device) -> Any:
    """RETURNS (BatchView): The view with its tensors on a device, copied once; its cache and what it collects stay."""
    copies = view.__dict__.setdefault("_on", {})
    if device not in copies:
        copies[device] = moved = copy.copy(view)
        for name, value in vars(view).items():
            if name not in ("cache", "attentions", "_on"):
                setattr(moved, name, _moved(value, device))
    return copies[device]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [_moved(part, device) for part in value]
    if type(value).__module__ == BatchView.__module__:  # groups of sequences
        moved = copy.copy(value)
        for name, part in vars(value).items():
            setattr(moved, name, _moved(part, device))
        return moved
    return value


def _map_of(
    frame: BloomPreTrainedModel,
    device_map: DeviceMap,
    dtype: torch.dtype,
    max_memory: Mapping[int | str, int | str] | None,
) -> dict[str, Any]:
    """RETURNS (dict[str, str | int | torch.device]): Devices by modules."""
    accelerate = import_accelerate()
    if isinstance(device_map, Mapping):
        return dict(device_map)
    if not isinstance(device_map, str) or device_map not in WAYS:
        return {"": device_map}
    options: dict[str, Any] = {"no_split_module_classes": [BLOCK], "dtype": dtype}
    memory = None if max_memory is None else dict(max_memory)
    if device_map.startswith("balanced") and torch.cuda.device_count() > 1:
        low = device_map.endswith("low_0")
        memory = accelerate.utils.get_balanced_memory(frame, memory, low_zero=low, **options)
    return accelerate.infer_auto_device_map(frame, memory, **options)


def _complete(frame: BloomPreTrainedModel, places: dict[str, Any], config: BloomConfig) -> dict[str, Any]:
    """RETURNS (dict[str, str | int | torch.device]): Devices of blocks and of layers outside of them; a tied head is
    where its embedding is, and one that may be new is not looked for in the files.
    RAISES (InputError): It divides a block, or leaves weights out.
    """
    inside = sorted(name for name in places if INSIDE_BLOCK.fullmatch(name))
    if inside:
        raise InputError(f"Expected a device_map of whole blocks, got {', '.join(inside[:5])}.")
    missing = [n for n, _ in frame.named_parameters() if _module_of(n, places) is None]
    if missing:
        raise InputError(
            f"Expected a device_map with a device for every weight, got none for {', '.join(missing[:5])}."
        )
    if META in map(str, places.values()):
        raise InputError("Expected a device_map of GPUs, the CPU and the disk, and no meta device.")
    unknown = sorted(set(places) - {name for name, _ in frame.named_modules()})
    if unknown:
        raise InputError(f"Expected a device_map by modules of the model, got {', '.join(unknown[:5])}.")
    units = [name for name, _ in frame.named_modules() if UNIT.fullmatch(name)]
    full = {unit: places[_module_of(f"{unit}.weight", places)] for unit in units}
    if isinstance(frame, BloomLanguageModel) and config.tie_word_embeddings:
        full["lm_head"] = full["transformer.word_embeddings"]
    for head in HEAD_CLASSES:
        if head != "lm_head" and full.get(head) == DISK:
            full[head] = CPU
    return full


def _module_of(name: str, places: Mapping[str, Any]) -> Any:
    """RETURNS (str | None): The module in a map that holds a weight; the innermost."""
    parts = name.split(".")
    found = (".".join(parts[:n]) for n in range(len(parts) - 1, -1, -1))
    return next((module for module in found if module in places), None)


def _main_device(places: Mapping[str, Any]) -> torch.device:
    gpus = [device for device in places.values() if str(device) not in (CPU, DISK)]
    return torch.device(gpus[0] if gpus else CPU)


def _file_dtype(source: WeightFiles) -> torch.dtype:
    return next(source.part(name, (slice(0, 1),)).dtype for name in source.shapes)


def _dispatch(
    model: BloomPreTrainedModel, places: dict[str, Any], main: torch.device, source: WeightFiles
) -> None:
    """Let accelerate bring weights and states together, in place."""
    model.requires_grad_(False)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    names = match_names(source.shapes, parameters)
    names.setdefault(TIED_HEAD, names.get(f"transformer.{EMBEDDING}", ""))
    held = {name: weight.data for name, weight in parameters.items() if not weight.is_meta}
    dtype = next(weight.dtype for weight in parameters.values())
    weights = StoredWeights(held, source, {name: names.get(name, "") for name in parameters}, dtype)
    import_accelerate().dispatch_model(
        model,
        places,
        main_device=CPU if main.type == CPU else main,  # compared with the name
        state_dict=weights,
        offload_index={},
        preload_module_classes=[BLOCK],
    )
    decoder = model if isinstance(model, BloomModel) else model.get_submodule("transformer")
    for block in decoder.h:  # type: ignore[union-attr]
        block.register_forward_pre_hook(_bring_view)
    if isinstance(model, BloomLanguageModel):
        become(model.lm_head, PlacedHead)
        model.lm_head._hf_hook.io_same_device = True  # type: ignore[union-attr]
    for part, prefix in ((model, ""), (decoder, "transformer."))[: 1 if decoder is model else 2]:
        become_also(part, PlacedDecoder if part is decoder else Placed)
        part.main_device = main  # type: ignore[assignment]
        part.weights = weights if not prefix else _without(weights, prefix)  # type: ignore[assignment]


def _without(weights: StoredWeights, prefix: str) -> StoredWeights:
    """RETURNS (StoredWeights): Those of a submodule, by their names there."""
    held = {n.removeprefix(prefix): w for n, w in weights.held.items() if n.startswith(prefix)}
    names = {n.removeprefix(prefix): name for n, name in weights.names.items() if n.startswith(prefix)}
    return StoredWeights(held, weights.source, names, weights.dtype)


def _bring_view(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A block's hook moves tensors among its arguments, but does not know what a view is."""
    hidden, view = args
    hook: Any = getattr(block, "_hf_hook", None)
    return args if hook is None else (hidden, view_on(view, torch.device(hook.execution_device)))


def import_accelerate() -> Any:
    """RETURNS (module): accelerate.
    RAISES (InputError): It is not installed.
    """
    try:
        import accelerate
        import accelerate.hooks
        import accelerate.utils
    except ImportError as error:
        raise InputError(
            "Got device_map, which needs accelerate. Install it with `pip install spacy-bloom[accelerate]`."
        ) from error
    return accelerate
