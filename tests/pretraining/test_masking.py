import json
import math

import numpy
import pytest
import torch

from spacy_bloom import BloomForCausalLM
from spacy_bloom.config import BloomConfig
from spacy_bloom.errors import ConfigError
from spacy_bloom.pretraining.config import TrainingConfig
from spacy_bloom.pretraining.data import Batch, Batches, DataConfig, EncodedFile
from spacy_bloom.pretraining.evaluation import evaluate
from spacy_bloom.pretraining.loop import LMTrainer
from spacy_bloom.pretraining.masking import Masking

UNK, IGNORED = 0, -100
DATA = DataConfig(max_length=12, batch_pieces=40)


def make_batch(lengths):
    """Sequences of distinct pieces, so that each says where it comes from."""
    rows = [torch.arange(n + 1) + 10 + 50 * i for i, n in enumerate(lengths)]
    ids, labels = ([row[part] for row in rows] for part in (slice(None, -1), slice(1, None)))
    return Batch(torch.cat(ids), torch.cat(labels), list(lengths)), rows


def make_file(lines=12, seed=0):
    """A language in which every piece is told by the one after it."""
    rng = numpy.random.default_rng(seed)
    rows = []
    for _ in range(lines):
        length, first = rng.integers(3, 11), rng.integers(5, 25)
        rows.append(numpy.array([2, *((first + 7 * i) % 20 + 5 for i in range(length))], dtype=numpy.int32))
    pieces = numpy.concatenate([row[1:] for row in rows])
    bounds = numpy.cumsum([0, *(len(row) - 1 for row in rows)])
    return EncodedFile("x", 100, numpy.concatenate(([2], pieces)).astype("int32"), bounds, rows[:6], 60)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=30, hidden_size=16, n_layer=2, n_head=2)).eval()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.34])
def test_turns_predict_every_piece_but_the_first_once(rate):
    batch, rows = make_batch([7, 1, 12])
    predicted = []
    for turn in Masking(UNK, rate, 2).turns(batch):
        assert turn.lengths == [8, 2, 13]
        parts = zip(turn.input_ids.split(turn.lengths), turn.labels.split(turn.lengths), rows, strict=True)
        for ids, labels, row in parts:
            masked = ids == UNK
            assert not masked[0] and torch.equal(ids[~masked], row[~masked])
            # The state before a masked piece predicts it, and nothing else is predicted.
            expected = torch.full_like(row, IGNORED)
            expected[:-1][masked[1:]] = row[1:][masked[1:]]
            assert torch.equal(labels, expected)
            predicted += labels[labels != IGNORED].tolist()
    assert sorted(predicted) == sorted(torch.cat([row[1:] for row in rows]).tolist())


def test_drawn_masks_are_as_many_as_asked_for_and_at_least_one():
    batch, _ = make_batch([40, 1, 30])
    masking, counts = Masking(UNK, 0.3, 2), []
    for seed in range(100):
        torch.manual_seed(seed)
        drawn = masking.draw(batch)
        torch.manual_seed(seed)
        assert torch.equal(masking.draw(batch).input_ids, drawn.input_ids)
        counts.append([int((ids == UNK).sum()) for ids in drawn.input_ids.split(drawn.lengths)])
        assert min(counts[-1]) >= 1
        masked = drawn.input_ids == UNK
        assert int((drawn.labels != IGNORED).sum()) == int(masked.sum())
    assert numpy.mean(counts, axis=0)[[0, 2]] / [40, 30] == pytest.approx([0.3, 0.3], abs=0.03)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_rates_that_leave_nothing(rate):
    with pytest.raises(ConfigError, match="mask_rate"):
        Masking(UNK, rate, 2)


@pytest.mark.parametrize("layers", [1, 2])
def test_evaluation_is_a_plain_loop_over_lines_and_turns(model, layers):
    file, bits = make_file(), 0.0
    for line in file.held_back:
        for turn in range(4):
            masked = torch.arange(len(line) - 1) % 4 == turn
            ids = torch.tensor(line).long()
            seen = torch.cat((ids[:1], ids[1:].masked_fill(masked, UNK)))
            with torch.no_grad():
                hidden = model.transformer.encode_packed(seen, [len(seen)], bidirectional_layers=layers)
                log_probs = model.lm_head(hidden).log_softmax(-1)
            bits -= sum(log_probs[i, ids[i + 1]].item() for i in masked.nonzero()[:, 0].tolist()) / math.log(
                2
            )
    found = evaluate(model, [file], DATA, Masking(UNK, 0.25, layers))
    assert found.bpb == pytest.approx(bits / file.held_back_bytes, rel=1e-5)


def make_trainer(model, path, steps, **options):
    config = TrainingConfig(
        learning_rate=1e-2, max_steps=steps, objective="mntp", save_minutes=0.0, **options
    )
    return LMTrainer(model, [make_file(60)], config, DATA, path, masking=Masking(UNK, 0.2, 2))


def test_a_model_learns_what_stands_on_both_sides(model, tmp_path):
    list(make_trainer(model, tmp_path, 150).train())
    rows = [json.loads(row) for row in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["bpb"] < 0.4 * rows[0]["bpb"]
    causal = evaluate(model, [make_file(60)], DATA)
    assert causal.bpb > rows[-1]["bpb"]  # which has only one side


def test_resumed_training_draws_the_same_masks(tmp_path):
    def new_model():
        torch.manual_seed(3)
        return BloomForCausalLM(BloomConfig(vocab_size=30, hidden_size=16, n_layer=2, n_head=2))

    options = {"accumulate_gradient": 2}
    whole = make_trainer(new_model(), tmp_path / "whole", 8, **options)
    list(whole.train())
    first = make_trainer(new_model(), tmp_path / "parts", 8, **options)
    for report in first.train():
        if report.step == 3:
            first.stop()
    second = make_trainer(new_model(), tmp_path / "parts", 8, **options)
    second.resume()
    list(second.train())
    for name, expected in whole.model.named_parameters():
        assert torch.equal(dict(second.model.named_parameters())[name], expected), name


def test_accumulated_batches_weigh_as_much_as_they_predict(model, tmp_path):
    """As one batch of both."""
    file = make_file(60)
    batches = Batches([file], DATA, seed=0)
    first, *place = batches.take(0, 0)
    second, *_ = batches.take(*place)
    masking = Masking(UNK, 0.2, 2)
    torch.manual_seed(0)
    drawn = [masking.draw(batch) for batch in (first, second)]
    counts = [int((batch.labels != IGNORED).sum()) for batch in drawn]
    assert counts[0] != counts[1]
    losses = []
    for batch in drawn:
        hidden = model.transformer.encode_packed(batch.input_ids, batch.lengths, bidirectional_layers=2)
        losses.append(torch.nn.functional.cross_entropy(model.lm_head(hidden), batch.labels, reduction="sum"))
    expected = (sum(losses) / sum(counts)).item()
    config = TrainingConfig(learning_rate=1e-2, max_steps=1, objective="mntp", accumulate_gradient=2)
    trainer = LMTrainer(model, [file], config, DATA, tmp_path, masking=masking)
    fixed = {"draw": lambda self, batch, given=iter(drawn): next(given), "bidirectional_layers": 2}
    trainer.masking = type("Fixed", (), fixed)()
    assert trainer._step() == pytest.approx(expected, rel=1e-5)
