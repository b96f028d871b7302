import torch

from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.padded.call import PaddedCall, Records
from spacy_bloom.generation.padded.calling_forms import Rectangle
from spacy_bloom.generation.padded.steps import Step
from spacy_bloom.generation.stopping import Stopping


def make_call(model, chain=(), criteria=(), **options):
    config = GenerationConfig(max_new_tokens=5, eos_token_id=2, **options)
    ids, mask = torch.tensor([[3, 5], [6, 7]]), torch.tensor([[0, 1], [1, 1]])
    return PaddedCall(
        model, config, ids, mask, [[5], [6, 7]], list(chain), Rectangle(ids), Stopping(config), list(criteria)
    )


def test_rows_know_their_prompts(language_model):
    rows = make_call(language_model).rows(torch.tensor([[3, 5, 9], [3, 5, 8], [6, 7, 2], [6, 7, 4]]))
    assert [(row.prompt, row.generated, row.number) for row in rows] == [
        ([5], [9], 0),
        ([5], [8], 0),
        ([6, 7], [2], 1),
        ([6, 7], [4], 1),
    ]


def test_scores_are_processed_in_a_copy(language_model):
    def add(rows, scores):
        return scores.add_(1.0)

    call, scores = make_call(language_model, [add]), torch.zeros(2, 97)
    ids = torch.tensor([[3, 5, 9], [6, 7, 8]])
    assert call.process(ids, scores, beam_group_idx=3).sum() == 194 and not scores.any()
    assert call.rectangle.ids is ids and call.rectangle.more == {"beam_group_idx": 3}


def test_ends(language_model):
    call = make_call(language_model, criteria=[lambda ids, scores: ids[:, -1] == 9])
    assert call.finished(torch.tensor([[3, 5, 2], [6, 7, 8]])).tolist() == [True, False]
    assert call.finished(torch.tensor([[3, 5, 8], [6, 7, 9]])).tolist() == [False, True]
    assert call.finished(torch.zeros(2, 7, dtype=torch.long)).tolist() == [True, True]
    assert call.fill == 2 and make_call(language_model, pad_token_id=3).fill == 3


def test_only_what_is_wanted_is_kept():
    step = Step(torch.zeros(1), (torch.ones(1),), None)
    kept = Records(
        GenerationConfig(return_dict_in_generate=True, output_scores=True, output_hidden_states=True)
    )
    kept.add(step, torch.ones(2), step.logits)
    assert kept.fields()["logits"] is None and len(kept.fields()["scores"]) == 1
    assert kept.fields()["hidden_states"] == (step.hidden_states,)
    assert set(Records(GenerationConfig(output_scores=True)).fields().values()) == {None}
