"""The language model, with `generate`."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import GENERATION_FILE
from ..files import write_file
from ..generation.config import GenerationConfig
from .beams import Search, beam_search
from .buckets import bucket
from .decoding import decode
from .inputs import concrete
from .model import LanguageModel, Params
from .placement import place_rows
from .pretrained import FlaxBloomPreTrainedModel
from .prompts import expect_followed, to_choice, to_prompts, with_least


@struct.dataclass
class FlaxBloomGenerateOutput:
    """What `generate` returns.

    sequences (jax.Array): The rows as given, then what was generated, filled up with pad_token_id.
        Shape (batch * num_return_sequences, length + most that may be added).
    scores (jax.Array | None): Of beams: log-probability divided by length to the power of length_penalty.
        Shape (batch * num_return_sequences,).
    """

    sequences: jax.Array
    scores: jax.Array | None = None


class FlaxBloomForCausalLM(FlaxBloomPreTrainedModel):
    """BLOOM with the language-modelling head, by default the embedding matrix itself. Arguments as of
    FlaxBloomPreTrainedModel; calls return FlaxBloomCausalLMOutput.

    generation_config (GenerationConfig | None): What a checkpoint's `generation_config.json` says; options of a call
        take precedence.
    """

    module = LanguageModel
    architecture = "BloomForCausalLM"
    generation_config: GenerationConfig | None = None

    def _read_more(self, checkpoint: Checkpoint) -> None:
        if checkpoint.generation is not None:
            self.generation_config = GenerationConfig.from_checkpoint(checkpoint.generation)

    def _write_more(self, path: Path) -> None:
        if self.generation_config is not None:
            write_file(path / GENERATION_FILE, self.generation_config.to_json_string())
        else:
            (path / GENERATION_FILE).unlink(missing_ok=True)  # of the model that was here

    def generate(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        *,
        generation_config: GenerationConfig | None = None,
        prng_key: jax.Array | None = None,
        params: Params | None = None,
        **options: Any,
    ) -> FlaxBloomGenerateOutput:
        """Continue the rows of a batch in one compiled loop: greedily, by drawing, or with beams. Works under `jax.jit`
        and `jax.vmap`. Lengths are filled up to a few, so that a new one seldom means a new compilation.

        input_ids (Array): Shape (batch, length).
        attention_mask (Array | None): 1 for pieces, 0 for padding on either side. Without one, ids equal to
            pad_token_id are padding, unless they end sequences too. Shape (batch, length).
        generation_config (GenerationConfig | None): Instead of the model's own.
        prng_key (jax.Array | None): What is drawn, instead of the option `seed`; without either the seed is 0. It is
            the same for all prompts, so that what is drawn for one does not depend on its neighbours.
        params (dict[str, jax.Array] | None): Instead of the model's own.
        **options: Fields of GenerationConfig, for example max_new_tokens=50, do_sample=True, top_p=0.9.
        RETURNS (FlaxBloomGenerateOutput): The sequences.
        RAISES (InputError, ConfigError): Shapes that do not fit, an empty row, options that are unknown or not followed
            here.
        """
        given = with_least(self._options(generation_config, options), np.shape(input_ids)[-1])
        prompts, added = to_prompts(self.config, input_ids, attention_mask, given, prng_key)
        prompts = place_rows(self.mesh, prompts)
        params = self.params if params is None else params
        choice, room, copies = to_choice(self.config, given), bucket(added), given.num_return_sequences
        if given.num_beams == 1:
            pieces = decode(self.config, params, prompts, choice=choice, room=room, copies=copies)
            return FlaxBloomGenerateOutput(_joined(input_ids, pieces, added))
        search = Search(given.num_beams, given.early_stopping, given.length_penalty)
        beams, scores = beam_search(self.config, params, prompts, choice=choice, search=search, room=room)
        pieces = beams[:, :copies].reshape(-1, room)
        return FlaxBloomGenerateOutput(_joined(input_ids, pieces, added), scores[:, :copies].reshape(-1))

    def _options(self, given: GenerationConfig | None, options: dict[str, Any]) -> GenerationConfig:
        config = given or self.generation_config or GenerationConfig()
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            if getattr(config, name) is None and options.get(name) is None:
                options = {**options, name: getattr(self.config, name)}
        config = config.replace(**options)
        expect_followed(config)
        return config


def _joined(ids: Any, pieces: jax.Array, added: int) -> jax.Array:
    """
    ids (Array): Shape (batch, length).
    pieces (jax.Array): What was generated. Shape (batch * copies, room).
    added (int): Pieces to take.
    RETURNS (jax.Array): int32. Shape (batch * copies, length + added).
    """
    known, found = concrete(ids), concrete(pieces)
    if known is None or found is None:
        copies = pieces.shape[0] // ids.shape[0]
        return jnp.concatenate((jnp.repeat(jnp.asarray(ids), copies, axis=0), pieces[:, :added]), axis=1)
    # By numpy, which compiles nothing for new lengths.
    copies = len(found) // len(known)
    joined = np.concatenate((known.repeat(copies, axis=0), found[:, :added]), axis=1)
    return jnp.asarray(joined.astype(np.int32))
