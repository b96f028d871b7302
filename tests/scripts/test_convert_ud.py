import importlib.util
import sys
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "ud"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script("convert_ud")
evaluation = load_script("evaluate_by_language")

# "du" is two words of the treebank, and one token
FRENCH = """# sent_id = 1
# text = Il vient du Nil.
1\tIl\til\tPRON\t_\tNumber=Sing\t2\tnsubj\t_\t_
2\tvient\tvenir\tVERB\t_\tNumber=Sing|Person=3\t0\troot\t_\t_
3-4\tdu\t_\t_\t_\t_\t_\t_\t_\t_
3\tde\tde\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\t_\t5\tdet\t_\t_
5\tNil\tNil\tPROPN\t_\t_\t2\tobl\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

# text = Oui !
1\tOui\toui\tINTJ\t_\t_\t0\troot\t_\t_
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_

"""
CHINESE = (
    "1\t他\t他\tPRON\tPRP\t_\t2\tnsubj\t_\tSpaceAfter=No\n2\t来\t来\tVERB\tVV\t_\t0\troot\t_\tSpaceAfter=No\n"
)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"fr.{split}.conllu").write_text(FRENCH, encoding="utf8")
        (folder / f"zh.{split}.conllu").write_text(CHINESE, encoding="utf8")
    return folder


def load(path):
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(spacy.blank("xx").vocab))


def test_convert(source, tmp_path):
    report = script.convert(source, tmp_path / "out")
    assert report["fr", "train"] == {"docs": 2, "tokens": 7} and report["zh", "test"]["docs"] == 1
    assert sorted(doc.user_data["lang"] for doc in load(tmp_path / "out" / "train.spacy")) == [
        "fr",
        "fr",
        "zh",
    ]
    first, second = load(tmp_path / "out" / "test.fr.spacy")
    assert [token.text for token in first] == [
        "Il",
        "vient",
        "du",
        "Nil",
        ".",
    ] and second.text.rstrip() == "Oui !"
    assert first.text.rstrip() == "Il vient du Nil."  # spaCy ends a sentence with a space
    assert [token.pos_ for token in first] == ["PRON", "VERB", first[2].pos_, "PROPN", "PUNCT"]
    assert first[2].pos_ in ("ADP", "DET")
    assert [token.head.i for token in first] == [1, 1, 3, 1, 1] and first[3].dep_ == "obl"
    assert str(first[1].morph) == "Number=Sing|Person=3" and first[1].lemma_ == "venir"
    (chinese,) = load(tmp_path / "out" / "dev.zh.spacy")
    assert chinese.text == "他来" and [token.tag_ for token in chinese] == ["PRP", "VV"]


def test_without_morphology_there_are_parts_of_speech_alone(source, tmp_path):
    script.convert(source, tmp_path / "out", morph=False, languages=["fr"])
    docs = load(tmp_path / "out" / "train.spacy")
    assert len(docs) == 2 and not any(str(token.morph) for doc in docs for token in doc)
    assert all(token.pos_ for doc in docs for token in doc)


def test_groups_of_sentences(source, tmp_path):
    script.convert(source, tmp_path / "out", group=2)
    (french,) = load(tmp_path / "out" / "dev.fr.spacy")
    assert [sentence.text.strip() for sentence in french.sents] == ["Il vient du Nil.", "Oui !"]


def test_empty_nodes_and_further_blank_lines(tmp_path):
    path = tmp_path / "fr.dev.conllu"
    empty = "2.1\tvient" + "\t_" * 6 + "\t2:conj\t_\n"
    path.write_text("\n\n" + FRENCH.replace("3-4", f"{empty}3-4") + "\n\n" + CHINESE, encoding="utf8")
    docs, counts = script.convert_file(path)
    assert [len(doc) for doc in docs] == [5, 2, 2] and counts["tokens"] == 9


@pytest.mark.parametrize(
    "text, message",
    [("# nothing\n\n", "holds no sentence"), ("1\ta\ta\tX\tX\t_\t9\tdep\t_\t_\n", "could not be converted")],
)
def test_files_that_cannot_be_converted(tmp_path, text, message):
    path = tmp_path / "fr.dev.conllu"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=f"fr.dev.conllu {message}"):
        script.convert_file(path)


@pytest.mark.parametrize("bad", ["1\ttoo\tfew", "x\t" * 9 + "x"])
def test_lines_that_are_not_understood(tmp_path, bad):
    path = tmp_path / "fr.dev.conllu"
    path.write_text(f"# text = a\n{bad}\n", encoding="utf8")
    with pytest.raises(ValueError, match="line 2: got .*, expected ten columns"):
        script.read_conllu(path)


def test_command(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convert_ud.py", str(source), str(tmp_path / "out"), "--no-morph"])
    script.main()
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "9", "27"]
    monkeypatch.setattr(sys, "argv", ["convert_ud.py", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        script.main()
    assert "holds no file" in capsys.readouterr().err
    for group in ("0", "-1", "x"):
        monkeypatch.setattr(
            sys, "argv", ["convert_ud.py", str(source), str(tmp_path / "out"), f"--group={group}"]
        )
        with pytest.raises(SystemExit):
            script.main()
        assert f"must be at least 1, not {group}" in capsys.readouterr().err


@Language.component("everything_hangs_on_the_second_word")
def everything_hangs_on_the_second_word(doc):
    for token in doc:
        token.pos_ = "VERB" if token.i == 1 else "PROPN"
        token.head, token.dep_ = doc[min(1, len(doc) - 1)], "punct" if token.is_punct else "obl"
    doc[min(1, len(doc) - 1)].dep_ = "ROOT"
    return doc


def test_what_is_not_predicted_has_no_score(source, tmp_path):
    script.convert(source, tmp_path / "out")
    rows = evaluation.evaluate_folder(spacy.blank("xx"), tmp_path / "out", task="syntax")
    assert rows["micro"] == {"docs": 3, "tokens": 9, "pos_acc": 0.0, "uas": 0.0, "las": 0.0}


def test_scores_by_language(source, tmp_path):
    script.convert(source, tmp_path / "out")
    nlp = spacy.blank("xx")  # cuts "他来" into other tokens than the treebank
    nlp.add_pipe("everything_hangs_on_the_second_word")
    rows = evaluation.evaluate_folder(nlp, tmp_path / "out", task="syntax")
    assert list(rows) == ["fr", "zh", "micro", "macro"]
    assert rows["zh"] == pytest.approx({"docs": 1, "tokens": 2, "pos_acc": 0.5, "uas": 1.0, "las": 0.5})
    # Right are the parts of speech of "vient" and "Nil", the heads of "Il", "vient" and "Nil" (not of "du" and "Oui"),
    # and the relations of "vient" and "Nil". Punctuation is not counted: of 5 gold and 6 predicted heads, since "!" is
    # predicted as a root.
    assert rows["fr"] == pytest.approx(
        {"docs": 2, "tokens": 7, "pos_acc": 2 / 7, "uas": 6 / 11, "las": 4 / 11}
    )
    assert rows["micro"] == pytest.approx(
        {"docs": 3, "tokens": 9, "pos_acc": 3 / 9, "uas": 10 / 15, "las": 6 / 15}
    )
    assert rows["macro"]["las"] == pytest.approx((4 / 11 + 0.5) / 2)


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared treebanks are not beside the checkout (../shared/data/ud)"
)
def test_the_shared_treebanks(tmp_path):
    report = script.convert(DATA, tmp_path, languages=["te", "vi"])
    assert report["te", "train"]["docs"] == 1023 and report["vi", "test"]["docs"] == 500
    docs = load(tmp_path / "test.vi.spacy")
    assert all(token.pos_ and token.dep_ for doc in docs for token in doc)
