import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.padded.steps import Steps, prepares_inputs


@pytest.fixture
def ids():
    return torch.tensor([[3, 5, 9, 11], [6, 7, 8, 20]])


MASK = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"hidden_states": True, "attentions": True}])
@torch.no_grad()
def test_steps_are_what_the_whole_rectangle_gives(language_model, ids, options):
    steps = Steps(language_model, MASK, **options)
    for n in range(3):
        step = steps(ids)
        mask = torch.cat((MASK, torch.ones(2, n, dtype=torch.long)), dim=1)
        expected = language_model(ids, attention_mask=mask).logits[:, -1]
        torch.testing.assert_close(step.logits, expected, atol=1e-4, rtol=1e-4)
        ids = torch.cat((ids, torch.tensor([[30 + n], [40 + n]])), dim=1)


@torch.no_grad()
def test_long_prompts_are_fed_in_parts(language_model):
    ids = torch.randint(4, 97, (1, 600), generator=torch.Generator().manual_seed(0))
    step = Steps(language_model, torch.ones_like(ids))(ids)
    torch.testing.assert_close(step.logits, language_model(ids).logits[:, -1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_somebody_puts_before_the_prompt(language_model, ids):
    """As prompt tuning does: the method is replaced on the model."""
    before = language_model.transformer.word_embeddings(torch.tensor([[50, 51]])).expand(2, -1, -1)
    original = language_model.prepare_inputs_for_generation

    def prepare(input_ids, **options):
        inputs = original(input_ids, **options)
        options["attention_mask"] = torch.cat(
            (torch.ones(2, 2, dtype=torch.long), options["attention_mask"]), dim=1
        )
        inputs["attention_mask"] = options["attention_mask"]
        if options["past_key_values"] is None:
            embeds = language_model.transformer.word_embeddings(input_ids)
            inputs["inputs_embeds"], inputs["input_ids"] = torch.cat((before, embeds), dim=1), None
        return inputs

    language_model.prepare_inputs_for_generation = prepare
    try:
        assert prepares_inputs(language_model)
        found = language_model.generate(ids, attention_mask=MASK, max_new_tokens=5)[:, 4:]
    finally:
        del language_model.prepare_inputs_for_generation
    assert not prepares_inputs(language_model)
    longer = torch.cat((torch.tensor([[50, 51]] * 2), ids), dim=1)
    mask = torch.cat((torch.ones(2, 2, dtype=torch.long), MASK), dim=1)
    assert torch.equal(found, language_model.generate(longer, attention_mask=mask, max_new_tokens=5)[:, 6:])


def test_nothing_new_is_an_error(language_model, ids):
    steps = Steps(language_model, MASK)
    with torch.no_grad():
        steps(ids)
        with pytest.raises(InputError, match="go on after the 4 pieces"):
            steps(ids)
