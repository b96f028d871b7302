import pytest
import transformers

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.load import match_names
from spacy_bloom.checkpoint.names import block_of, decoder_shapes, head_class, is_head
from spacy_bloom.errors import CheckpointError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, tie_word_embeddings=False)
CLASSES = [BloomModel, BloomForCausalLM, BloomForTokenClassification]


@pytest.mark.parametrize("cls", CLASSES)
def test_our_names_are_hugging_faces(cls):
    theirs = getattr(transformers, cls.__name__)(
        transformers.BloomConfig(**CONFIG.replace(extra={}).to_diff_dict())
    )
    ours = {name: tuple(value.shape) for name, value in cls(CONFIG).state_dict().items()}
    assert ours == {name: tuple(value.shape) for name, value in theirs.state_dict().items()}


@pytest.mark.parametrize("in_file", CLASSES)
@pytest.mark.parametrize("in_model", CLASSES)
def test_decoders_are_paired_whatever_the_head(in_file, in_model):
    file, model = list(in_file(CONFIG).state_dict()), list(in_model(CONFIG).state_dict())
    pairs = match_names(file, model)
    assert sorted(pairs.values()) == sorted(file)  # every weight of the file has a place, the heads too
    decoder = [name for name in model if not is_head(name)]
    assert [pairs[name].removeprefix("transformer.") for name in decoder] == [
        name.removeprefix("transformer.") for name in decoder
    ]
    assert all(name in pairs for name in model if is_head(name)) == (
        in_file is in_model or in_model is BloomModel
    )


def test_unknown_names_keep_a_place():
    assert match_names(["h.0.strange", "lm_head.weight"], ["transformer.ln_f.weight"]) == {
        "transformer.h.0.strange": "h.0.strange",
        "lm_head.weight": "lm_head.weight",
    }
    assert match_names(["transformer.h.0.strange"], ["ln_f.weight"]) == {
        "h.0.strange": "transformer.h.0.strange"
    }


@pytest.mark.parametrize("model", ["ln_f.weight", "transformer.ln_f.weight"])
def test_one_weight_under_two_names(model):
    with pytest.raises(CheckpointError, match=r"ln_f.weight and transformer.ln_f.weight"):
        match_names(["ln_f.weight", "transformer.ln_f.weight"], [model])


def test_heads():
    heads = ["lm_head.weight", "classifier.weight", "classifier.bias", "score.weight", "qa_outputs.bias"]
    assert all(map(is_head, heads))
    assert not any(map(is_head, ["transformer.ln_f.weight", "h.0.mlp.dense_h_to_4h.weight", "scores"]))


@pytest.mark.parametrize("size, layers, heads, vocab", [(24, 2, 3, 97), (8, 1, 1, 3), (40, 5, 5, 50)])
def test_shapes_without_a_model(size, layers, heads, vocab):
    config = BloomConfig(vocab_size=vocab, hidden_size=size, n_layer=layers, n_head=heads)
    model = {name: tuple(value.shape) for name, value in BloomModel(config).state_dict().items()}
    assert list(decoder_shapes(config).items()) == list(model.items())  # in the order of use, too


def test_the_block_of_a_weight():
    assert block_of("h.0.mlp.dense_h_to_4h.bias") == 0
    assert block_of("transformer.h.69.input_layernorm.weight") == 69
    others = ["ln_f.weight", "h.weight", "h.x.bias", "h.-1.bias", "lm_head.h.0.bias", "h.1", "score.weight"]
    assert [block_of(name) for name in others] == [None] * len(others)


def test_the_class_of_a_head():
    decoder = ["transformer.ln_f.weight", "h.0.mlp.dense_h_to_4h.bias"]
    assert head_class(decoder) == "BloomModel"
    assert head_class([*decoder, "score.weight"]) == "BloomForSequenceClassification"
    for cls in CLASSES:
        assert head_class(cls(CONFIG).state_dict()) == cls.__name__
