"""nlp.pipe(n_process=2), in a process of its own: a pipeline that hangs must not hang the tests."""

from thinc.api import Adam

SCRIPT = """
import sys, torch, spacy

def compare(alone, docs):
    assert len(alone) == len(docs)
    for one, two in zip(alone, docs):
        assert one.text == two.text
        assert [t.tag_ for t in one] == [t.tag_ for t in two]
        assert [t.ent_iob_ + t.ent_type_ for t in one] == [t.ent_iob_ + t.ent_type_ for t in two]
        assert (one._.trf_data is None) == (two._.trf_data is None)
        if one._.trf_data is not None and len(one):
            assert abs(one._.trf_data.tensors[0] - two._.trf_data.tensors[0]).max() < 1e-5
        for a, b in zip(one, two):
            assert all(abs(a._.odds[tag] - b._.odds[tag]) < 1e-4 for tag in a._.odds)

if __name__ == "__main__":
    texts = ["Ana lives in Lima", "", "  ", "Omar visits Cairo " * 40, "今天 Wei 在 Paris"] * 4
    torch.set_num_threads(2)
    for path in sys.argv[1:]:
        nlp = spacy.load(path)
        first = list(nlp.pipe(texts, n_process=2, batch_size=3))
        alone = list(nlp.pipe(texts, batch_size=3))  # now the parent has threads that its forks lack
        compare(alone, first)
        compare(alone, list(nlp.pipe(texts, n_process=2, batch_size=3)))
    print("done")
"""


def test_two_processes(make_nlp, make_examples, tmp_path, python_spacy):
    """With activations that stay and that go; before and after the parent has computed with threads."""
    for keep in (False, True):
        nlp = make_nlp(
            "tagger", "bloom_token_classifier", keep_activations=keep, classifier={"scores_attr": "odds"}
        )
        for _ in range(3):
            nlp.update(make_examples(nlp), sgd=Adam(0.01))
        nlp.to_disk(tmp_path / str(keep))
    (tmp_path / "work.py").write_text(SCRIPT, encoding="utf8")
    done = python_spacy.run(tmp_path / "work.py", tmp_path / "False", tmp_path / "True")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"
    assert "fork" not in done.stderr and "parallelism" not in done.stderr
