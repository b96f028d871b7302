"""Equal weights are in memory once, until one holder changes them."""

import copy
import gc

import numpy
import pytest
import torch
from thinc.api import Adam

from spacy_bloom.config import BloomConfig
from spacy_bloom.errors import ConfigError
from spacy_bloom.thinc_layers.language_model import (
    LanguageModelShim,
    create_language_model,
    language_model_on,
)
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.sharing import HeldParts, WeightFile, own_weights
from spacy_bloom.thinc_layers.weights.shim import BloomShim


def pointers(shim):
    decoder = getattr(shim.module, "transformer", shim.module)
    return {name: p.data_ptr() for name, p in decoder.named_parameters()}


def train(shim, steps=1):
    ids = torch.arange(3, 9)
    for _ in range(steps):
        hidden, backprop = shim.begin_update((ids, [6]))
        backprop(torch.ones_like(hidden))
        shim.finish_update(Adam(0.01))


@pytest.fixture(autouse=True)
def nothing_in_memory():
    """What earlier tests have loaded from the same checkpoint is gone, whenever Python would collect it."""
    gc.collect()


@pytest.fixture
def shims(checkpoint):
    made = [
        BloomShim(WeightSettings(str(checkpoint))),
        LanguageModelShim(WeightSettings(str(checkpoint))),
        LanguageModelShim(WeightSettings(str(checkpoint))),
    ]
    for shim in made:
        shim.load()
    return made


def test_shims_on_one_checkpoint_hold_one_copy(shims):
    assert pointers(shims[0]) == pointers(shims[1]) == pointers(shims[2])
    head = shims[1].module.lm_head.weight
    assert head.data_ptr() == pointers(shims[0])["word_embeddings.weight"]
    assert shims[0].module.word_embeddings.weight is not head


def test_training_one_leaves_the_others(shims, caplog):
    caplog.set_level("DEBUG", logger="spacy_bloom")
    before = {name: p.clone() for name, p in shims[1].module.named_parameters()}
    train(shims[0], steps=3)
    copies = [record.args for record in caplog.records if record.name.endswith("sharing")]
    assert copies == [(len(pointers(shims[0])),)], "all weights, once"
    assert not set(pointers(shims[0]).values()) & set(pointers(shims[1]).values())
    assert pointers(shims[1]) == pointers(shims[2])
    for name, parameter in shims[1].module.named_parameters():
        assert torch.equal(parameter, before[name])
    changed = dict(shims[0].module.named_parameters())
    assert not torch.equal(changed["ln_f.weight"], before["transformer.ln_f.weight"])


def test_a_trained_one_is_not_taken_for_the_checkpoint(shims, checkpoint):
    train(shims[0])
    late = BloomShim(WeightSettings(str(checkpoint)))
    late.load()
    assert pointers(late) == pointers(shims[1]) == pointers(shims[2])


def test_written_copies_are_one_again_when_they_are_read(shims, tmp_path):
    for i, shim in enumerate(shims):
        shim.to_disk(tmp_path / str(i))
    shims.clear()
    del shim
    classes = (BloomShim, LanguageModelShim, LanguageModelShim)
    read = [make(WeightSettings("not-there")).from_disk(tmp_path / str(i)) for i, make in enumerate(classes)]
    assert pointers(read[0]) == pointers(read[1]) == pointers(read[2])


def test_other_weights_stay_apart(shims, tmp_path):
    train(shims[0])
    shims[0].to_disk(tmp_path)
    other = LanguageModelShim(WeightSettings("not-there")).from_disk(tmp_path)
    assert not set(pointers(other).values()) & set(pointers(shims[1]).values())


def test_the_order_of_loading_does_not_matter(checkpoint):
    made = [
        LanguageModelShim(WeightSettings(str(checkpoint))),
        LanguageModelShim(WeightSettings(str(checkpoint))),
        BloomShim(WeightSettings(str(checkpoint))),
    ]
    for shim in made:
        shim.load()
    assert pointers(made[0]) == pointers(made[1]) == pointers(made[2])


def test_two_transformers_share_nothing(checkpoint):
    one, other = BloomShim(WeightSettings(str(checkpoint))), BloomShim(WeightSettings(str(checkpoint)))
    one.load(), other.load()
    assert not set(pointers(one).values()) & set(pointers(other).values())


def test_without_readers_nothing_is_copied(checkpoint):
    one, reader = (
        BloomShim(WeightSettings(str(checkpoint))),
        LanguageModelShim(WeightSettings(str(checkpoint))),
    )
    one.load(), reader.load()
    before = pointers(one)
    del reader
    own_weights(one.module)
    assert pointers(one) == before


def test_a_copied_shim_trains_alone(shims):
    copied = shims[0].copy()
    before = shims[0].module.ln_f.weight.clone()
    train(copied)
    assert torch.equal(shims[0].module.ln_f.weight, before)
    assert copy.deepcopy(shims[1].module) is not None


def test_bytes_hold_a_tied_head_once(shims):
    data = shims[1].to_bytes()
    assert len(data) < 1.2 * len(shims[0].to_bytes())
    read = LanguageModelShim(WeightSettings("not-there")).from_bytes(data)
    ids = torch.arange(3, 9)[None]
    with torch.no_grad():
        assert torch.equal(read.module(ids).logits, shims[1].module(ids).logits)


def test_a_language_model_on_a_decoder_has_no_weights_of_its_own(shims):
    model = language_model_on(shims[0].module)
    assert {p.data_ptr() for p in model.parameters()} == set(pointers(shims[0]).values())
    ids = torch.arange(3, 9)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, shims[1].module(ids).logits)
    assert not model.training


def test_a_head_that_the_decoder_lacks_is_an_error(shims):
    decoder = copy.deepcopy(shims[0].module)
    decoder.config = decoder.config.replace(tie_word_embeddings=False)
    with pytest.raises(ConfigError, match="upstream = null"):
        language_model_on(decoder)


def test_the_model_gives_surprisal(checkpoint):
    model = create_language_model(str(checkpoint))
    bits = model.predict([[5, 6, 7], []])
    assert [len(row) for row in bits] == [3, 0] and bits[0][1] > 0


def test_another_dtype_is_another_copy(shims, checkpoint):
    half = LanguageModelShim(WeightSettings(str(checkpoint), dtype="bfloat16"))
    half.load()
    assert not set(pointers(half).values()) & set(pointers(shims[0]).values())


def test_weights_of_a_file_that_has_changed_are_read_again(shims, tmp_path):
    shims[0].to_disk(tmp_path)
    before = LanguageModelShim(WeightSettings("not-there")).from_disk(tmp_path)
    train(shims[0])
    shims[0].to_disk(tmp_path)
    after = LanguageModelShim(WeightSettings("not-there")).from_disk(tmp_path)
    assert not torch.equal(before.module.lm_head.weight, after.module.lm_head.weight)
    assert torch.equal(after.module.lm_head.weight, shims[0].module.word_embeddings.weight)


def test_equal_files_are_told_from_others_of_their_size(tmp_path):
    contents = [b"a" * 9 + b"b", b"a" * 9 + b"b", b"a" * 10, b"a"]
    files = []
    for i, content in enumerate(contents):
        (tmp_path / str(i)).write_bytes(content)
        files.append(WeightFile.at(tmp_path / str(i)))
    assert [files[0].holds_the_same_as(file) for file in files] == [True, True, False, False]
    (tmp_path / "1").write_bytes(b"c" * 10)
    assert not files[0].holds_the_same_as(files[1])  # it is no longer what was read


def test_a_file_that_is_gone_is_no_error(shims, tmp_path):
    shims[0].to_disk(tmp_path / "a")
    shims[0].to_disk(tmp_path / "b")
    first = LanguageModelShim(WeightSettings("not-there")).from_disk(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    second = LanguageModelShim(WeightSettings("not-there")).from_disk(tmp_path / "b")
    assert torch.equal(first.module.lm_head.weight, second.module.lm_head.weight)


def test_parts_in_memory_have_the_shapes_of_the_whole():
    config = BloomConfig(n_head=2, hidden_size=8, n_layer=1, vocab_size=20)
    parts = HeldParts(config, {"word_embeddings.weight": numpy.ones((10, 8))})
    assert parts.shapes["word_embeddings.weight"] == (20, 8)
    assert parts.part("word_embeddings.weight", (slice(10, 20),)).shape == (10, 8)
