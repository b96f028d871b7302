import export_text
import spacy
from spacy.tokens import DocBin


def test_texts_that_are_not_known_by_language(tmp_path, monkeypatch, capsys):
    nlp = spacy.blank("xx")
    docs = []
    for lang, text in (
        ("en", "A  new\nline ."),
        ("en", "Known, already."),
        ("fr", "Une ligne."),
        ("en", "A new line."),
    ):
        docs.append(nlp.make_doc(text))
        docs[-1].user_data["lang"] = lang
    corpus = tmp_path / "names" / "train.spacy"
    corpus.parent.mkdir()
    DocBin(store_user_data=True, docs=docs).to_disk(corpus)
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "en.txt").write_text("Known , already .\n", encoding="utf8")
    command = ["export_text.py", str(corpus), str(tmp_path / "out"), "--known", str(tmp_path / "known")]
    monkeypatch.setattr("sys.argv", command)
    export_text.main()
    assert (tmp_path / "out" / "names_en.txt").read_text("utf8") == "A new line .\n"
    assert (tmp_path / "out" / "names_fr.txt").read_text("utf8") == "Une ligne.\n"
    assert capsys.readouterr().out == "names_en.txt: 1 lines\nnames_fr.txt: 1 lines\n"
