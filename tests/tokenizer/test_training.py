import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import ConfigError

LINES = [["The river was high in spring.", "नदी ऊँची थी।"], ["今天天气很好。", "النهر"]] * 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"new_special_tokens": ["<a>", AddedToken("<b>", lstrip=True)], "length": 4},
        {"special_tokens_map": {"</s>": "<end>", "<pad>": "<fill>"}},
        {"min_frequency": 4},
    ],
    ids=str,
)
def test_the_same_as_hugging_faces(both, options):
    ours, theirs = both(model_max_length=50)
    new = [
        t.train_new_from_iterator(iter(LINES), 300, show_progress=False, **options) for t in (ours, theirs)
    ]
    assert type(new[0]) is BloomTokenizerFast
    assert new[0].get_vocab() == new[1].get_vocab() and len(new[0]) <= 300
    text = "The river</s><end> नदी<b>"
    assert new[0](text).input_ids == new[1](text).input_ids
    assert new[0].special_tokens_map == new[1].special_tokens_map
    assert new[0].backend_tokenizer.to_str() == new[1].backend_tokenizer.to_str()
    assert (new[0].padding_side, new[0].model_max_length) == (new[1].padding_side, new[1].model_max_length)
    assert new[0].pad_token == new[1].pad_token and ours.pad_token == "<pad>"


def test_what_a_post_processor_adds(both):
    ours, theirs = both()
    for tokenizer in (ours, theirs):
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair=None, special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    new = [t.train_new_from_iterator(LINES, 300, show_progress=False) for t in (ours, theirs)]
    assert new[0]("The").input_ids == new[1]("The").input_ids and new[0]("The").input_ids[0] == 1
    assert new[0].num_special_tokens_to_add() == 2


def test_another_kind():
    backend = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ConfigError, match="BPE, got WordLevel"):
        BloomTokenizerFast(tokenizer_object=backend).train_new_from_iterator(LINES, 300)
