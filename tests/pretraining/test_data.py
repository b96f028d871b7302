import numpy
import pytest
import torch

from spacy_bloom.errors import ConfigError, InputError
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

EOS = 2


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


def test_nothing_is_dropped_and_every_sequence_starts_a_line_if_it_can(data, texts, files, tokenizer):
    for text, file in zip(texts, files, strict=True):
        lines = tokenizer(text.train, split_special_tokens=True)["input_ids"]
        assert file.pieces.tolist() == [EOS] + [piece for ids in lines for piece in [*ids, EOS]]
        assert file.pieces.dtype == numpy.int32
        lengths = numpy.diff(file.bounds)
        assert file.bounds[0] == 0 and file.bounds[-1] == len(file.pieces) - 1
        assert lengths.min() > 0 and lengths.max() <= data.max_length
        cut = [i for i in file.bounds[:-1] if file.pieces[i] != EOS]
        long = sum((len(ids) + 1) // data.max_length for ids in lines)
        assert len(cut) <= long


def test_special_tokens_in_text_are_text(data, tokenizer):
    file = encode_file(TextFile("a", ["</s><pad><s>"], []), tokenizer, data)
    assert (file.pieces < 4).sum() == 2 and tokenizer.decode(file.pieces[1:-1]) == "</s><pad><s>"


def sequences_of(batch):
    ids, labels = batch.input_ids.split(batch.lengths), batch.labels.split(batch.lengths)
    return [(tuple(i.tolist()), tuple(t.tolist())) for i, t in zip(ids, labels, strict=True)]


def test_batches_predict_the_next_piece_within_their_size(data, files):
    batches, place = Batches(files, data, seed=0), (0, 0)
    for _ in range(40):
        batch, *place = batches.take(*place)
        assert len(batch.input_ids) == len(batch.labels) == sum(batch.lengths) <= data.batch_pieces
        assert sum(batch.lengths) > data.batch_pieces - data.max_length
        assert max(batch.lengths) <= data.max_length
        assert all(ids[1:] == labels[:-1] for ids, labels in sequences_of(batch))


def test_a_batch_depends_on_seed_and_place_only(data, files):
    batches, places = Batches(files, data, seed=3), [(0, 0)]
    for _ in range(60):
        places.append(batches.take(*places[-1])[1:])
    assert places[-1][0] > 0
    for place in reversed(places):
        found, expected = Batches(files, data, seed=3).take(*place)[0], batches.take(*place)[0]
        assert torch.equal(found.input_ids, expected.input_ids) and found.lengths == expected.lengths
    other = Batches(files, data, seed=4).take(0, 0)[0]
    assert not torch.equal(other.input_ids, batches.take(0, 0)[0].input_ids)


def test_with_alpha_1_an_epoch_is_every_sequence_once(files):
    batches = Batches(files, DataConfig(max_length=16, batch_pieces=64, alpha=1.0), seed=0)
    expected = sorted((i, n) for i, file in enumerate(files) for n in range(len(file.bounds) - 1))
    orders = [batches.order(epoch).tolist() for epoch in range(3)]
    assert all(sorted(map(tuple, order)) == expected for order in orders)
    assert orders[0] != orders[1]


def test_small_files_come_more_often_and_big_files_in_turn(data, files):
    batches = Batches(files, data, seed=0)
    sizes = [len(file.bounds) - 1 for file in files]
    rows = numpy.concatenate([batches.order(epoch) for epoch in range(10)])
    assert len(rows) == pytest.approx(10 * sum(sizes), rel=0.02)
    for index, rate in enumerate(batches.rates):
        counts = numpy.bincount(rows[rows[:, 0] == index][:, 1], minlength=sizes[index])
        assert counts.max() - counts.min() <= 1  # whole passes, and a part of one
        assert counts.mean() == pytest.approx(10 * rate, rel=0.02)
    assert batches.rates[0] < 1 < batches.rates[1]


def test_held_back_lines_are_evaluated_to_their_last_piece(data, files):
    for file in files:
        labels = torch.cat([batch.labels for batch in held_back_batches(file, data)])
        assert labels.tolist() == [piece for line in file.held_back for piece in line[1:]]


@pytest.mark.parametrize(
    "values", [{"max_length": 0}, {"batch_pieces": 8}, {"alpha": 2.0}, {"held_back_every": 1}]
)
def test_data_config_out_of_range(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        DataConfig(**{"max_length": 16, "batch_pieces": 64, **values})
