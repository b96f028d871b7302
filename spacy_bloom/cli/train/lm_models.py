"""The model of a run of `train-lm`: whole in one process, or divided among ranks."""

from dataclasses import asdict
from typing import Any

import torch
from wasabi import msg

from ...config import BloomConfig
from ...errors import ConfigError
from ...generation.causal_lm import BloomForCausalLM
from ...parallel.ranks import n_ranks, rank
from ...pretraining.engine import Engine, OneProcess
from ...pretraining.sharded.engine import ShardedRanks
from ...pretraining.sharded.model import ShardedLM, empty_sharded, own_rows, shard_parts
from ...thinc_layers.weights.heap import map_large_blocks
from .lm_config import LMConfig

Made = tuple[BloomForCausalLM, Engine]


class OneModel:
    """A whole model.

    config (LMConfig): The run's settings.
    device (str): Where it goes.
    RAISES (ConfigError): A setting that only several ranks follow.
    """

    def __init__(self, config: LMConfig, device: str) -> None:
        self.config, self.device = config, device
        if config.training.compute_dtype != "float32":
            raise ConfigError(
                f'training.compute_dtype = "{config.training.compute_dtype}" is for a sharded model. Start with '
                '`torchrun --nproc-per-node N -m spacy bloom train-lm ...`, N may be 1, or use "float32".'
            )

    def new(self, geometry: BloomConfig) -> Made:
        """RETURNS (Made): With random weights."""
        return self._made(BloomForCausalLM(geometry))

    def from_checkpoint(self, name: str) -> Made:
        """RETURNS (Made): With the weights of a checkpoint."""
        model = BloomForCausalLM.from_pretrained(name, dtype=torch.float32, **dropout_of(self.config))
        return self._made(model)

    def to_resume(self, geometry: BloomConfig) -> Made:
        """RETURNS (Made): With any weights; a state is going to be loaded."""
        return self.new(geometry)

    def _made(self, model: BloomForCausalLM) -> Made:
        model = model.to(self.device)
        return model, OneProcess(model)


class DividedModel:
    """A model divided among ranks.

    config (LMConfig), device (str): As for OneModel.
    """

    def __init__(self, config: LMConfig, device: str) -> None:
        self.config, self.device = config, device
        self.compute_dtype = getattr(torch, config.training.compute_dtype)
        if device == "cpu":
            map_large_blocks()
        n_batches, turns = config.training.accumulate_gradient, n_ranks()
        if n_batches % turns:
            msg.warn(
                f"{turns} ranks share out the {n_batches} batches of a step: some wait for others. To use all, set "
                f"training.accumulate_gradient to a multiple of {turns} and data.batch_pieces accordingly."
            )

    def new(self, geometry: BloomConfig) -> Made:
        """RETURNS (Made): With random weights, which every rank draws before it keeps its part: those of one process."""
        model = BloomForCausalLM(geometry)
        return self._made(ShardedLM(model, device=self.device, compute_dtype=self.compute_dtype))

    def from_checkpoint(self, name: str) -> Made:
        """RETURNS (Made): With the weights of a checkpoint, of which each rank reads its part."""
        parts = BloomForCausalLM.from_pretrained(
            name,
            dtype=torch.float32,
            placement=own_rows(rank(), n_ranks()),
            **dropout_of(self.config),
        )
        model, engine = self._made(
            shard_parts(BloomForCausalLM, parts, device=self.device, compute_dtype=self.compute_dtype)
        )
        model.generation_config = parts.generation_config
        return model, engine

    def to_resume(self, geometry: BloomConfig) -> Made:
        """RETURNS (Made): With any weights; a state is going to be loaded."""
        return self._made(
            empty_sharded(BloomForCausalLM, geometry, device=self.device, compute_dtype=self.compute_dtype)
        )

    def _made(self, sharded: ShardedLM) -> Made:
        assert isinstance(sharded.model, BloomForCausalLM)  # made by it
        return sharded.model, ShardedRanks(sharded)


def dropout_of(config: LMConfig) -> dict[str, Any]:
    """RETURNS (dict[str, float]): What of [model] applies to a checkpoint that is fine-tuned."""
    settings = {} if config.model is None else asdict(config.model)
    return {key: value for key, value in settings.items() if key.endswith("_dropout")}
