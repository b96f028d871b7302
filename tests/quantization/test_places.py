from torch import nn

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.quantization.places import decoder_of, layers_of, replace_layers, set_config

CONFIG = BloomConfig(vocab_size=20, hidden_size=16, n_layer=2, n_head=2)


def test_layers_are_those_of_the_blocks_and_a_language_models_head():
    for kind, n_layers in ((BloomModel, 8), (BloomForTokenClassification, 8), (BloomForCausalLM, 9)):
        model = kind(CONFIG)
        assert isinstance(decoder_of(model), BloomModel)
        assert len(layers_of(model)) == n_layers
        assert all(isinstance(layer, nn.Linear) for layer in layers_of(model).values())


def test_all_are_replaced():
    model = BloomForCausalLM(CONFIG)
    embedding = nn.Embedding(20, 16)
    replace_layers(model, embedding, lambda name, layer: nn.Identity(), lambda head: nn.Sequential(head))
    decoder = model.transformer
    assert decoder.word_embeddings is embedding and isinstance(model.lm_head, nn.Sequential)
    found = [decoder.h[1].mlp.dense_4h_to_h, decoder.h[0].self_attention.query_key_value]
    assert all(isinstance(layer, nn.Identity) for layer in found)


def test_a_config_is_the_models_and_its_decoders():
    model = BloomForCausalLM(CONFIG)
    set_config(model, CONFIG.replace(extra={"note": 1}))
    assert model.config.extra == model.transformer.config.extra == {"note": 1}
