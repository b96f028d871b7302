import torch
from transformers.generation import utils

from spacy_bloom.generation.padded import outputs


def test_fields_stand_in_hugging_faces_order():
    for name in ("GenerateDecoderOnlyOutput", "GenerateBeamDecoderOnlyOutput"):
        ours, theirs = getattr(outputs, name), getattr(utils, name)
        assert list(ours.__dataclass_fields__) == list(theirs.__dataclass_fields__)


def test_they_are_read_like_dicts_and_tuples():
    ids = torch.tensor([[1]])
    output = outputs.GenerateDecoderOnlyOutput(sequences=ids, scores=(ids,))
    assert list(output) == ["sequences", "scores"] and output[0] is output["sequences"] is ids
