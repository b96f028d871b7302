"""Logs of pipelines and of language models become curves."""

import json
import sys

import pytest
import spacy

from spacy_bloom.cli.reporting.training_logs import find_log, read_log
from spacy_bloom.console_logger import create_console_logger
from spacy_bloom.errors import InputError


def write(path, *rows, end="\n"):
    path.write_text("\n".join(json.dumps(row) for row in rows) + end, encoding="utf8")
    return path


def test_the_rows_of_our_logger(tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("ner")
    nlp.config["training"]["score_weights"] = {"ents_f": 1.0, "ents_p": None, "ents_r": None}
    path = tmp_path / "log.jsonl"
    log_step, finalize = create_console_logger(console_output=False, output_file=str(path))(nlp, sys.stdout)
    for step, score in ((0, 0.1), (100, 0.5)):
        info = {
            "epoch": 0,
            "step": step,
            "losses": {"ner": 9.5 - step / 100},
            "other_scores": {"ents_f": score},
            "score": score,
        }
        log_step(info)
        log_step(None)
    finalize()
    log = read_log(path)
    assert log.unit == "steps" and log.losses == {"ner": [(0.0, 9.5), (100.0, 8.5)]}
    assert log.scores == {"ents_f": [(0.0, 10.0), (100.0, 50.0)], "score": [(0.0, 10.0), (100.0, 50.0)]}


def test_the_history_of_a_language_model(tmp_path):
    rows = [
        {"step": 0, "n_pieces": 0, "loss": None, "bpb": 8.0, "bpb_by_file": {"x/ar.txt": 8.5}},
        {"step": 5, "n_pieces": 640, "loss": 4.5, "bpb": 6.0, "bpb_by_file": {"x/ar.txt": 6.5}},
    ]
    log = read_log(write(tmp_path / "history.jsonl", *rows))
    assert log.unit == "pieces" and log.scores == {"bits a byte": [(0.0, 8.0), (640.0, 6.0)]}
    assert list(log.losses.values()) == [[(640.0, 4.5)]] and log.by_file == {"ar": [(0.0, 8.5), (640.0, 6.5)]}


def test_a_row_that_is_being_written(tmp_path):
    path = write(tmp_path / "a.jsonl", {"step": 1, "losses": {"ner": 1.0}, "score": 0.5})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert len(read_log(path).losses["ner"]) == 1


@pytest.mark.parametrize(
    "text", ["no json\n", "[]\n", '{"text": "x"}\n', "", '{"step": 1}\n', '{"step": "1"}\n']
)
def test_other_files(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"a\.jsonl"):
        read_log(tmp_path / "a.jsonl")


def test_numbers_that_cannot_be_drawn(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"step": 1, "losses": {"ner": NaN, "textcat": 1.0}, "scores": {"ents_f": Infinity}, "score": 0.5}\n'
    )
    log = read_log(path)
    assert list(log.losses) == ["textcat"] and list(log.scores) == ["score"]


def test_which_log(tmp_path):
    assert find_log(tmp_path) is None
    (tmp_path / "one.jsonl").write_text("")
    assert find_log(tmp_path).name == "one.jsonl"
    (tmp_path / "two.jsonl").write_text("")
    with pytest.raises(InputError, match="one.jsonl, two.jsonl"):
        find_log(tmp_path)
    (tmp_path / "history.jsonl").write_text("")
    assert find_log(tmp_path).name == "history.jsonl"
