"""The published sizes: their numbers of parameters, and the names and shards of the largest one's files."""

import json
from math import prod

import pytest
import torch
from safetensors.torch import save_file

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.names import decoder_shapes
from spacy_bloom.errors import BloomWarning
from spacy_bloom.published import (
    GEOMETRIES,
    N_PIECES,
    PARAMETERS,
    VOCAB_SIZE,
    published_config,
    published_size,
)

# The 176B checkpoint has a file for the embeddings, one for each block, and one for the last layer norm.
N_SHARDS = 72
IDS = torch.arange(6).view(1, 6)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters(name):
    config = published_config(name)
    with torch.device("meta"):
        model = BloomForCausalLM(config)
    assert model.num_parameters() == PARAMETERS[name]
    assert sum(map(prod, decoder_shapes(config).values())) == PARAMETERS[name]
    rows, size, layers = config.vocab_size, config.hidden_size, config.n_layer
    assert rows * size + 2 * size + layers * (12 * size**2 + 13 * size) + 2 * size == PARAMETERS[name]


def test_all_sizes_and_their_names():
    assert set(GEOMETRIES) == set(PARAMETERS)
    assert published_config("bigscience/bloom-3b") == published_config("bloom-3b")
    assert published_config("bloom").n_layer + 2 == N_SHARDS
    for name in ("bloom-2b", "somebody/bloom", "tiny-bloom", "bigscience/bigscience/bloom", ""):
        assert published_config(name) is None and published_size(name) is None
    assert published_size("bigscience/bloom-3b") == published_size("bloom-3b") == "bloom-3b"
    assert N_PIECES < VOCAB_SIZE == published_config("bloom").vocab_size


@pytest.fixture(scope="module")
def weights(randomize):
    """A decoder of 70 blocks that are very small, in bfloat16."""
    config = BloomConfig(vocab_size=23, hidden_size=8, n_layer=70, n_head=2, pad_token_id=3)
    return config, dict(randomize(BloomModel(config)).to(torch.bfloat16).state_dict())


def write(path, weights, *, form, prefix):
    """The files as they are on the Hub: an underscore before the number, the index with the plain name."""
    config, state = weights
    stem, suffix = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    shards = {}
    for name, value in state.items():
        i = (
            1
            if name.startswith("word_")
            else N_SHARDS
            if name.startswith("ln_f")
            else int(name.split(".")[1]) + 2
        )
        shards.setdefault(f"{stem}_{i:05d}-of-{N_SHARDS:05d}.{suffix}", {})[prefix + name] = value
    for file, members in shards.items():
        if form == "safetensors":
            save_file(members, path / file, metadata={"format": "pt"})
        else:
            torch.save(members, path / file)
    assert len(shards) == N_SHARDS
    index = {
        "metadata": {"total_size": sum(value.nbytes for value in state.values())},
        "weight_map": {name: file for file, members in shards.items() for name in members},
    }
    (path / f"{stem}.{suffix}.index.json").write_text(json.dumps(index), encoding="utf8")
    (path / "config.json").write_text(config.to_json_string(), encoding="utf8")


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_the_files_of_the_largest_load(tmp_path, weights, form, prefix):
    write(tmp_path, weights, form=form, prefix=prefix)
    model = BloomModel.from_pretrained(tmp_path, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert all(torch.equal(value, weights[1][name]) for name, value in model.state_dict().items())
    language_model = BloomForCausalLM.from_pretrained(tmp_path, dtype="auto")
    with pytest.warns(BloomWarning, match="classifier"):
        tagger = BloomForTokenClassification.from_pretrained(tmp_path, dtype="auto", num_labels=3)
    expected = model(IDS).last_hidden_state
    assert torch.equal(language_model.transformer(IDS).last_hidden_state, expected)
    assert torch.equal(tagger.transformer(IDS).last_hidden_state, expected)
    assert torch.equal(language_model.lm_head.weight, weights[1]["word_embeddings.weight"])


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_the_first_blocks_need_their_shards_only(tmp_path, weights, form):
    write(tmp_path, weights, form=form, prefix="")
    stem = "model" if form == "safetensors" else "pytorch_model"
    for i in range(5, N_SHARDS):  # 1 embeddings, 2 to 4 three blocks, 72 the last layer norm
        next(tmp_path.glob(f"{stem}_{i:05d}-of-*")).unlink()
    model = BloomForCausalLM.from_pretrained(tmp_path, num_layers=3)
    assert model.config.n_layer == len(model.transformer.h) == 3
    last = model.transformer.h[2].mlp.dense_4h_to_h.weight
    assert torch.equal(last, weights[1]["h.2.mlp.dense_4h_to_h.weight"].float())
