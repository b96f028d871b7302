from spacy_bloom import BloomConfig
from spacy_bloom.checkpoint.names import decoder_shapes
from spacy_bloom.checkpoint.partition import cut_dimension


def test_each_weight_has_its_cut():
    cuts = {name: cut_dimension(name) for name in decoder_shapes(BloomConfig(n_layer=1))}
    assert [name for name, cut in cuts.items() if cut == 0] == [
        "word_embeddings.weight",
        "h.0.self_attention.query_key_value.weight",
        "h.0.self_attention.query_key_value.bias",
        "h.0.mlp.dense_h_to_4h.weight",
        "h.0.mlp.dense_h_to_4h.bias",
    ]
    assert [name for name, cut in cuts.items() if cut == 1] == [
        "h.0.self_attention.dense.weight",
        "h.0.mlp.dense_4h_to_h.weight",
    ]
    assert cut_dimension("lm_head.weight") == cut_dimension("transformer.word_embeddings.weight") == 0
