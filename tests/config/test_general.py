import transformers

from spacy_bloom.config.general import general_defaults


def test_they_are_hugging_faces():
    theirs = transformers.PretrainedConfig()
    assert {name: getattr(theirs, name) for name in general_defaults()} == general_defaults()


def test_each_caller_has_its_own():
    general_defaults()["pruned_heads"][0] = [1]
    assert general_defaults()["pruned_heads"] == {}
