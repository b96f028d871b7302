import json
import math

import numpy
import pytest
import torch
from safetensors.torch import load_file

from spacy_bloom.bloom.heads import BloomForCausalLM
from spacy_bloom.config import BloomConfig
from spacy_bloom.errors import CheckpointError, ConfigError, InputError
from spacy_bloom.pretraining.data import (
    Batches,
    DataConfig,
    TextFile,
    encode_file,
    held_back_batches,
    read_lines,
    read_text_file,
    sequence_bounds,
)
from spacy_bloom.pretraining.loop import LMTrainer, TrainingConfig, add_gradients, evaluate, learning_rate
from spacy_bloom.pretraining.state import state_path
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer
from spacy_bloom.tokenizer import BloomTokenizerFast

WORDS = [
    "der",
    "die",
    "das",
    "ein",
    "kleines",
    "Haus",
    "steht",
    "am",
    "Ufer",
    "und",
    "wartet",
    "auf",
    "Regen",
    "雨",
    "नदी",
]
DATA = DataConfig(max_length=16, batch_pieces=64, held_back_every=5, max_eval_lines=10)
EOS = 2


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_lines(n, seed=0):
    rng = numpy.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 25))) for _ in range(n)]


@pytest.fixture(scope="module")
def tokenizer():
    trained = train_tokenizer([make_lines(50)], TokenizerConfig(vocab_size=300), seed=0)
    return BloomTokenizerFast(tokenizer_object=trained)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("text")
    for name, n in {"big": 120, "small": 12}.items():
        (path / f"{name}.txt").write_text("\n".join(make_lines(n, seed=n)), encoding="utf8")
    return [read_text_file(path / f"{name}.txt", name, DATA) for name in ("big", "small")]


@pytest.fixture(scope="module")
def files(texts, tokenizer):
    return [encode_file(text, tokenizer, DATA) for text in texts]


def make_model(seed=0, **options):
    torch.manual_seed(seed)
    return BloomForCausalLM(BloomConfig(vocab_size=300, hidden_size=16, n_layer=2, n_head=2, **options))


def make_config(**values):
    return TrainingConfig(**{"learning_rate": 1e-2, "max_steps": 6, "save_minutes": 0.0, **values})


def make_trainer(files, path, model=None, **values):
    return LMTrainer(model or make_model(), files, make_config(**values), DATA, path)


# Text files


def test_blank_lines_and_line_ends_are_no_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffeins\r\n\n  \nzwei\u2028drei \x0b\nvier".encode())
    assert read_lines(path) == ["eins", "zwei\u2028drei \x0b", "vier"]


def test_wrong_encoding_names_file_and_line(tmp_path):
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"gut\nsch\xf6n\n")
    with pytest.raises(InputError, match=r"latin1\.txt, line 2, byte 4.*UTF-8"):
        read_lines(path)


def test_empty_file_is_named(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    with pytest.raises(InputError, match=r"empty\.txt has no text"):
        read_lines(tmp_path / "empty.txt")


def test_every_nth_line_is_held_back(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(map(str, range(1, 101))))
    text = read_text_file(
        path, "a", DataConfig(max_length=4, batch_pieces=4, held_back_every=10, max_eval_lines=4)
    )
    assert text.held_back == ["10", "40", "70", "100"]  # evenly taken from 10
    assert text.train == [str(n) for n in range(1, 101) if n % 10]
    nothing = read_text_file(path, "a", DataConfig(max_length=4, batch_pieces=4, held_back_every=0))
    assert len(nothing.train) == 100 and nothing.held_back == []


# Sequences


@pytest.mark.parametrize(
    "lengths, bounds",
    [
        ([3, 3, 3, 3], [0, 6, 12]),
        ([8], [0, 8]),
        ([5, 4], [0, 5, 9]),
        ([20, 2, 3], [0, 8, 16, 22, 25]),
        ([1, 17], [0, 1, 9, 17, 18]),
        ([], [0]),
    ],
)
def test_sequence_bounds(lengths, bounds):
    assert sequence_bounds(lengths, 8).tolist() == bounds


def test_nothing_is_dropped_and_every_sequence_starts_a_line_if_it_can(texts, files, tokenizer):
    for text, file in zip(texts, files, strict=True):
        lines = tokenizer(text.train, split_special_tokens=True)["input_ids"]
        assert file.pieces.tolist() == [EOS] + [piece for ids in lines for piece in [*ids, EOS]]
        assert file.pieces.dtype == numpy.int32
        lengths = numpy.diff(file.bounds)
        assert file.bounds[0] == 0 and file.bounds[-1] == len(file.pieces) - 1
        assert lengths.min() > 0 and lengths.max() <= DATA.max_length
        cut = [i for i in file.bounds[:-1] if file.pieces[i] != EOS]
        long = sum((len(ids) + 1) // DATA.max_length for ids in lines)
        assert len(cut) <= long


def test_special_tokens_in_text_are_text(tokenizer):
    file = encode_file(TextFile("a", ["</s><pad><s>"], []), tokenizer, DATA)
    assert (file.pieces < 4).sum() == 2 and tokenizer.decode(file.pieces[1:-1]) == "</s><pad><s>"


# Batches


def sequences_of(batch):
    ids, labels = batch.input_ids.split(batch.lengths), batch.labels.split(batch.lengths)
    return [(tuple(i.tolist()), tuple(t.tolist())) for i, t in zip(ids, labels, strict=True)]


def test_batches_predict_the_next_piece_within_their_size(files):
    batches, place = Batches(files, DATA, seed=0), (0, 0)
    for _ in range(40):
        batch, *place = batches.take(*place)
        assert len(batch.input_ids) == len(batch.labels) == sum(batch.lengths) <= DATA.batch_pieces
        assert sum(batch.lengths) > DATA.batch_pieces - DATA.max_length
        assert max(batch.lengths) <= DATA.max_length
        assert all(ids[1:] == labels[:-1] for ids, labels in sequences_of(batch))


def test_a_batch_depends_on_seed_and_place_only(files):
    batches, places = Batches(files, DATA, seed=3), [(0, 0)]
    for _ in range(60):
        places.append(batches.take(*places[-1])[1:])
    assert places[-1][0] > 0
    for place in reversed(places):
        found, expected = Batches(files, DATA, seed=3).take(*place)[0], batches.take(*place)[0]
        assert torch.equal(found.input_ids, expected.input_ids) and found.lengths == expected.lengths
    other = Batches(files, DATA, seed=4).take(0, 0)[0]
    assert not torch.equal(other.input_ids, batches.take(0, 0)[0].input_ids)


def test_with_alpha_1_an_epoch_is_every_sequence_once(files):
    batches = Batches(files, DataConfig(max_length=16, batch_pieces=64, alpha=1.0), seed=0)
    expected = sorted((i, n) for i, file in enumerate(files) for n in range(len(file.bounds) - 1))
    orders = [batches.order(epoch).tolist() for epoch in range(3)]
    assert all(sorted(map(tuple, order)) == expected for order in orders)
    assert orders[0] != orders[1]


def test_small_files_come_more_often_and_big_files_in_turn(files):
    batches = Batches(files, DATA, seed=0)
    sizes = [len(file.bounds) - 1 for file in files]
    rows = numpy.concatenate([batches.order(epoch) for epoch in range(10)])
    assert len(rows) == pytest.approx(10 * sum(sizes), rel=0.02)
    for index, rate in enumerate(batches.rates):
        counts = numpy.bincount(rows[rows[:, 0] == index][:, 1], minlength=sizes[index])
        assert counts.max() - counts.min() <= 1  # whole passes, and a part of one
        assert counts.mean() == pytest.approx(10 * rate, rel=0.02)
    assert batches.rates[0] < 1 < batches.rates[1]


# Schedule, optimizer, evaluation


def test_learning_rate():
    config = make_config(learning_rate=2.0, warmup_steps=4, learning_rate_floor=0.1)
    assert [learning_rate(step, 0.0, config) for step in (0, 1, 3, 9)] == [0.5, 1.0, 2.0, 2.0]
    assert learning_rate(50, 0.5, config) == pytest.approx(1.1)
    assert learning_rate(99, 1.0, config) == pytest.approx(0.2)


def test_bits_per_byte_is_that_of_each_line_alone(texts, tokenizer):
    data = DataConfig(max_length=64, batch_pieces=128, held_back_every=5)
    files = [encode_file(text, tokenizer, data) for text in texts]
    model, bits, n_bytes = make_model().eval(), {}, {}
    for text in texts:
        bits[text.name] = 0.0
        n_bytes[text.name] = sum(len(line.encode()) for line in text.held_back)
        for ids in tokenizer(text.held_back)["input_ids"]:
            with torch.no_grad():
                logits = model(torch.tensor([[EOS, *ids]])).logits[0]
            bits[text.name] -= logits.log_softmax(-1)[range(len(ids)), ids].sum().item() / math.log(2)
    found = evaluate(model, files, data)
    assert found.bpb == pytest.approx(sum(bits.values()) / sum(n_bytes.values()), rel=1e-5)
    assert found.bpb_by_file == pytest.approx({name: bits[name] / n_bytes[name] for name in bits}, rel=1e-5)


def test_held_back_lines_are_evaluated_to_their_last_piece(files):
    for file in files:
        labels = torch.cat([batch.labels for batch in held_back_batches(file, DATA)])
        assert labels.tolist() == [piece for line in file.held_back for piece in line[1:]]


# Training


def test_training_learns_and_writes_its_history(files, tmp_path):
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
def test_resumed_training_ends_in_the_same_bits(files, tmp_path, options):
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


@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": False}])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_those_of_the_plain_loss_and_add_up(options, frozen):
    model = make_model(**options).train()
    model.transformer.word_embeddings.weight.requires_grad_(not frozen)
    ids, labels = torch.randint(3, 200, (9,)), torch.randint(3, 200, (9,))
    ids[3], labels[2] = ids[0], -100  # a row read twice, and a place without a label
    free = {name: p for name, p in model.named_parameters() if p.requires_grad}
    logits = model.lm_head(model.transformer.encode_packed(ids, [4, 5]))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    expected = torch.autograd.grad(loss, list(free.values()))
    for times in (1.0, 1.5):  # the second call adds half of the gradients to the first's
        found = add_gradients(model, ids, labels, [4, 5], 1.0 if times == 1 else 0.5)
        assert found == pytest.approx(loss.item() * (1.0 if times == 1 else 0.5), rel=1e-5)
        for parameter, gradient in zip(free.values(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, times * gradient, rtol=1e-4, atol=1e-6)
    assert frozen or model.transformer.word_embeddings.weight.grad.layout == torch.strided


def test_gradient_accumulation_is_one_big_batch(files, tmp_path):
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


def test_evaluations_after_the_saved_state_are_done_again(files, tmp_path):
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


def test_a_kill_while_saving_leaves_the_last_state(files, tmp_path, monkeypatch):
    trainer = make_trainer(files, tmp_path)
    list(trainer.train())
    before = state_path(tmp_path).read_bytes()

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_bloom.pretraining.state.os.replace", killed)
    trainer.progress.step += 1
    with pytest.raises(KeyboardInterrupt):
        trainer.save()
    assert state_path(tmp_path).read_bytes() == before


def test_a_finished_run_goes_on_with_a_larger_budget(files, tmp_path):
    list(make_trainer(files, tmp_path, max_steps=2).train())
    again = make_trainer(files, tmp_path, max_steps=2)
    again.resume()
    assert list(again.train()) == []
    longer = make_trainer(files, tmp_path, max_steps=4)
    longer.resume()
    assert [report.step for report in longer.train()] == [3, 4]


def test_minutes_are_a_budget_that_survives_resumption(files, tmp_path):
    trainer = make_trainer(files, tmp_path, max_steps=0, max_minutes=10.0, eval_minutes=4.0)
    trainer.progress.minutes = 9.999
    reports = list(trainer.train())
    assert trainer.progress.minutes >= 10 and reports[-1].fraction == 1
    assert reports[-1].evaluation is not None
    resumed = make_trainer(files, tmp_path, max_steps=0, max_minutes=20.0)
    resumed.resume()
    assert resumed.fraction == pytest.approx(0.5, abs=0.05)


def test_tied_weights_are_in_the_state_once_and_nothing_is_pickled(files, tmp_path):
    trainer = make_trainer(files, tmp_path, max_steps=1)
    list(trainer.train())
    assert [path.name for path in state_path(tmp_path).parent.iterdir()] == ["state.safetensors"]
    names = load_file(state_path(tmp_path)).keys()
    assert "weight/transformer.word_embeddings.weight" in names
    assert not any("lm_head" in name for name in names)


def test_state_of_another_model_is_refused(files, tmp_path):
    list(make_trainer(files, tmp_path, max_steps=1).train())
    torch.manual_seed(0)
    other = BloomForCausalLM(BloomConfig(vocab_size=301, hidden_size=16, n_layer=2, n_head=2))
    with pytest.raises(CheckpointError, match="word_embeddings"):
        make_trainer(files, tmp_path, other).resume()


@pytest.mark.parametrize("before, now", [("adamw", "muon"), ("muon", "adamw")])
def test_state_of_another_optimizer_is_refused(files, tmp_path, before, now):
    list(make_trainer(files, tmp_path, max_steps=1, optimizer=before).train())
    trainer = make_trainer(files, tmp_path, optimizer=now)
    weights = {name: value.clone() for name, value in trainer.model.named_parameters()}
    with pytest.raises(CheckpointError, match="another model or optimizer.*exp_avg/transformer.h.0"):
        trainer.resume()
    assert all(value.equal(weights[name]) for name, value in trainer.model.named_parameters())


@pytest.mark.parametrize("content", [b"", b"not a state", b"\xff" * 100])
def test_damaged_state_is_refused(files, tmp_path, content):
    trainer = make_trainer(files, tmp_path)
    state_path(tmp_path).parent.mkdir()
    state_path(tmp_path).write_bytes(content)
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        trainer.resume()


def test_infinite_loss_is_an_error(files, tmp_path):
    model = make_model()
    model.transformer.ln_f.weight.data.fill_(math.inf)
    with pytest.raises(InputError, match="loss of step 1"):
        list(make_trainer(files, tmp_path, model).train())


def test_nothing_held_back_trains_without_evaluation(tokenizer, tmp_path):
    file = encode_file(TextFile("a", make_lines(20), []), tokenizer, DATA)
    reports = list(make_trainer([file], tmp_path, max_steps=2, eval_steps=1).train())
    assert [report.evaluation for report in reports] == [None] * 3


@pytest.mark.parametrize(
    "values",
    [
        {"max_steps": 0},
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"beta2": 1.0},
        {"accumulate_gradient": 0},
        {"save_dtype": "int8"},
    ],
)
def test_training_config_out_of_range(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        make_config(**values)


@pytest.mark.parametrize(
    "values", [{"max_length": 0}, {"batch_pieces": 8}, {"alpha": 2.0}, {"held_back_every": 1}]
)
def test_data_config_out_of_range(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        DataConfig(**{"max_length": 16, "batch_pieces": 64, **values})
