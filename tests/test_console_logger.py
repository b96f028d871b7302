import io
import json

import pytest
import spacy
from spacy.training.loggers import console_logger_v3

from spacy_bloom.console_logger import create_console_logger, short_names

NAMES = ["bloom_transformer", "bloom_token_classifier", "bloom_token_classifier_tag", "bloom_text_classifier"]


@pytest.mark.parametrize(
    "names, expected",
    [
        (NAMES, ["transfor", "token_cl", "tag", "text_cla"]),
        (["ner", "bloom_question_answerer"], ["ner", "question"]),
        (["tok2vec", "tagger", "sentences"], ["tok2vec", "tagger", "sentence"]),
        (["tags_en_one", "tags_of_fr_one"], ["tags_en_", "tags_of_"]),
        (["entities_en_1", "entities_fr_1"], ["en_1", "fr_1"]),
        (["tag", "token_classifier", "token_classifier_tag"], ["1_tag", "2_token_", "3_token_"]),
        (["bloom_ner", "ner"], ["1_ner", "2_ner"]),
        ([], []),
    ],
)
def test_short_names_differ(names, expected):
    assert short_names(names) == dict(zip(names, expected, strict=True))


def header(logger, nlp):
    out = io.StringIO()
    log_step, finalize = logger(nlp, out, out)
    losses = {name: float(i) for i, name in enumerate(nlp.pipe_names)}
    log_step({"epoch": 1, "step": 10, "losses": losses, "other_scores": {"ents_f": 0.5}, "score": 0.5})
    log_step(None)
    finalize()
    lines = [line for line in out.getvalue().splitlines() if "LOSS" in line or "0.50" in line]
    return [part.strip() for part in lines[0].split("  ") if "LOSS" in part], lines[1].split()


@pytest.fixture
def nlp():
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer")
    for name in NAMES[1:3]:
        nlp.add_pipe("bloom_token_classifier", name=name)
    nlp.add_pipe("bloom_text_classifier")
    return nlp


def test_loss_columns_can_be_told_apart(nlp, tmp_path):
    columns, row = header(create_console_logger(output_file=tmp_path / "log.jsonl"), nlp)
    assert columns == ["LOSS TRANSFOR", "LOSS TOKEN_CL", "LOSS TAG", "LOSS TEXT_CLA"]
    assert row[2:6] == ["0.00", "1.00", "2.00", "3.00"]
    written = json.loads((tmp_path / "log.jsonl").read_text("utf8"))
    assert written["losses"] == {name: float(i) for i, name in enumerate(NAMES)}
    # Remove ours when spaCy's own does as much.
    assert len(set(header(console_logger_v3(), nlp)[0])) == 1
