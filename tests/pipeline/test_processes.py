"""nlp.pipe(n_process=2), each time in a process of its own: a pipeline that hangs must not hang the tests."""

import subprocess
import sys

import pytest
from thinc.api import Adam

SCRIPT = """
import sys, torch, spacy
from spacy.tokens import Token

def work(before):
    nlp = spacy.load(sys.argv[1])
    texts = ["Ana lives in Lima", "", "  ", "Omar visits Cairo " * 40, "今天 Wei 在 Paris"] * 4
    torch.set_num_threads(2)
    if before:
        alone = list(nlp.pipe(texts))  # the parent's threads are running now
    docs = list(nlp.pipe(texts, n_process=2, batch_size=3))
    alone = alone if before else list(nlp.pipe(texts))
    assert [d.text for d in docs] == texts
    for one, two in zip(alone, docs):
        assert [t.tag_ for t in one] == [t.tag_ for t in two]
        assert [(e.start, e.end, e.label_) for e in one.ents] == [(e.start, e.end, e.label_) for e in two.ents]
        assert (one._.trf_data is None) == (two._.trf_data is None)
        if one._.trf_data is not None and len(one):
            assert abs(one._.trf_data.tensors[0] - two._.trf_data.tensors[0]).max() < 1e-5
        for a, b in zip(one, two):
            assert all(abs(a._.odds[tag] - b._.odds[tag]) < 1e-4 for tag in a._.odds)
    print("done", len(docs), nlp.pipe_names)

if __name__ == "__main__":
    work(sys.argv[2] == "before")
"""


@pytest.mark.parametrize("before", ["before", "after"])
@pytest.mark.parametrize("keep_activations", [False, True])
def test_two_processes(make_nlp, make_examples, tmp_path, keep_activations, before):
    classifier = {"scores_attr": "odds"}
    nlp = make_nlp("tagger", "bloom_token_classifier", keep_activations=keep_activations, classifier=classifier)
    for _ in range(3):
        nlp.update(make_examples(nlp), sgd=Adam(0.01))
    nlp.to_disk(tmp_path / "nlp")
    (tmp_path / "work.py").write_text(SCRIPT, encoding="utf8")
    command = [sys.executable, "-W", "error::RuntimeWarning", str(tmp_path / "work.py"), str(tmp_path / "nlp"), before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("done 20")
    assert "fork" not in done.stderr and "parallelism" not in done.stderr
