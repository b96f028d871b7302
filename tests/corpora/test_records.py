"""What a record says about its text is kept."""

from spacy_bloom.corpora.records import set_metadata


def test_metadata(nlp):
    doc = nlp.make_doc("a")
    set_metadata(doc, {"meta": {"genre": "news", "year": 1990, "more": [1]}}, "reviews")
    assert doc.user_data == {"genre": "news", "year": 1990, "lang": "reviews"}
    for record in ({"lang": "fr"}, {"meta": {"lang": "fr"}}):
        doc = nlp.make_doc("a")
        set_metadata(doc, record, "reviews")
        assert doc.user_data["lang"] == "fr"
