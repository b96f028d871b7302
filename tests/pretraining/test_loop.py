import json
import math

import numpy
import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.pretraining.data import (
    DataConfig,
    TextFile,
    encode_file,
)
from spacy_bloom.pretraining.loop import LMTrainer


def test_training_learns_and_writes_its_history(make_trainer, files, tmp_path):
    trainer = make_trainer(files, tmp_path, max_steps=20, eval_steps=8)
    reports = list(trainer.train())
    assert [report.step for report in reports] == list(range(21))
    assert [report.step for report in reports if report.evaluation] == [0, 8, 16, 20]
    rows = [json.loads(row) for row in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 8, 16, 20]
    assert rows[-1]["bpb"] < 0.9 * rows[0]["bpb"] and set(rows[-1]["bpb_by_file"]) == {"big", "small"}
    assert rows[1]["loss"] == pytest.approx(numpy.mean([report.loss for report in reports[1:9]]))
    assert trainer.progress.best_bpb == min(row["bpb"] for row in rows)


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_gradient": 2}, {"gradient_checkpointing": True}, {"optimizer": "muon"}]
)
def test_resumed_training_ends_in_the_same_bits(make_model, make_trainer, files, tmp_path, options):
    dropout = {"hidden_dropout": 0.1, "attention_dropout": 0.1}
    values = {"max_steps": 14, "eval_steps": 4, "warmup_steps": 3, **options}
    whole = make_trainer(files, tmp_path / "whole", make_model(**dropout), **values)
    list(whole.train())
    first = make_trainer(files, tmp_path / "parts", make_model(**dropout), **values)
    for report in first.train():
        if report.step == 5:
            first.stop()
    torch.manual_seed(99)  # whatever another process would have
    second = make_trainer(files, tmp_path / "parts", make_model(seed=7, **dropout), **values)
    second.resume()
    assert second.progress.step == 5
    list(second.train())
    for name, expected in whole.model.named_parameters():
        assert torch.equal(dict(second.model.named_parameters())[name], expected), name
    histories = [(tmp_path / run / "history.jsonl").read_text().splitlines() for run in ("whole", "parts")]
    histories = [[{**json.loads(row), "minutes": None} for row in rows] for rows in histories]
    assert histories[0] == histories[1]


def test_gradient_accumulation_is_one_big_batch(make_model, make_config, files, tmp_path):
    data = DataConfig(max_length=16, batch_pieces=16, held_back_every=5)
    weights = []
    for n, config in {
        2: make_config(max_steps=1, accumulate_gradient=2),
        1: make_config(max_steps=1),
    }.items():
        trainer = LMTrainer(make_model(), files, config, data, tmp_path / str(n))
        if n == 1:
            first, *place = trainer.batches.take(0, 0)
            second, *_ = trainer.batches.take(*place)
            joined = type(first)(
                torch.cat((first.input_ids, second.input_ids)),
                torch.cat((first.labels, second.labels)),
                first.lengths + second.lengths,
            )
            trainer.batches.take = lambda epoch, place, joined=joined: (joined, 0, 0)
        list(trainer.train())
        weights.append(trainer.model.transformer.word_embeddings.weight)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


def test_evaluations_after_the_saved_state_are_done_again(make_trainer, files, tmp_path):
    values = {"max_steps": 8, "eval_steps": 2, "save_steps": 3}
    killed = make_trainer(files, tmp_path, **values)
    for report in killed.train():
        if report.step == 4:
            break  # a kill: the last saved state is that of step 3
    resumed = make_trainer(files, tmp_path, **values)
    resumed.resume()
    assert resumed.progress.step == 3
    list(resumed.train())
    rows = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 2, 4, 6, 8]


def test_a_finished_run_goes_on_with_a_larger_budget(make_trainer, files, tmp_path):
    list(make_trainer(files, tmp_path, max_steps=2).train())
    again = make_trainer(files, tmp_path, max_steps=2)
    again.resume()
    assert list(again.train()) == []
    longer = make_trainer(files, tmp_path, max_steps=4)
    longer.resume()
    assert [report.step for report in longer.train()] == [3, 4]


def test_minutes_are_a_budget_that_survives_resumption(make_trainer, files, tmp_path):
    trainer = make_trainer(files, tmp_path, max_steps=0, max_minutes=10.0, eval_minutes=4.0)
    trainer.progress.minutes = 9.999
    reports = list(trainer.train())
    assert trainer.progress.minutes >= 10 and reports[-1].fraction == 1
    assert reports[-1].evaluation is not None
    resumed = make_trainer(files, tmp_path, max_steps=0, max_minutes=20.0)
    resumed.resume()
    assert resumed.fraction == pytest.approx(0.5, abs=0.05)


def test_infinite_loss_is_an_error(make_model, make_trainer, files, tmp_path):
    model = make_model()
    model.transformer.ln_f.weight.data.fill_(math.inf)
    with pytest.raises(InputError, match="loss of step 1"):
        list(make_trainer(files, tmp_path, model).train())


def test_nothing_held_back_trains_without_evaluation(make_lines, make_trainer, data, tokenizer, tmp_path):
    file = encode_file(TextFile("a", make_lines(20), []), tokenizer, data)
    reports = list(make_trainer([file], tmp_path, max_steps=2, eval_steps=1).train())
    assert [report.evaluation for report in reports] == [None] * 3
