import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.padded.calling_forms import Rectangle
from spacy_bloom.generation.padded.guidance import Guidance
from spacy_bloom.generation.rows import Row


@torch.no_grad()
@pytest.mark.parametrize(
    "texts", [[[9], [9, 8], [9, 8, 7]], [[9], [8, 7], [6, 5, 4]]], ids=["grown", "reordered"]
)
def test_negative_prompts_are_continued(language_model, texts):
    ids, mask = torch.tensor([[3, 50, 51]]), torch.tensor([[0, 1, 1]])
    guidance = Guidance(2.0, language_model, Rectangle(ids), ids, mask)
    for added in texts:
        scores = torch.randn(1, 97, generator=torch.Generator().manual_seed(0))
        found = guidance([Row([5, 6], added)], scores)
        negative = language_model(torch.tensor([[50, 51, *added]])).logits[:, -1].log_softmax(-1)
        torch.testing.assert_close(found, 2 * scores.log_softmax(-1) - negative, atol=1e-4, rtol=1e-4)


def test_each_prompt_needs_its_own(language_model):
    ids = torch.tensor([[50, 51]])
    with pytest.raises(InputError, match="attention_mask of shape"):
        Guidance(2.0, language_model, Rectangle(ids), ids, torch.ones(1, 3))
    with pytest.raises(InputError, match="one row of negative_prompt_ids for each prompt, got 1"):
        Guidance(2.0, language_model, Rectangle(ids), ids)([Row([5], [], 1)], torch.zeros(1, 97))
