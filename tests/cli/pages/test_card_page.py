import pytest

from spacy_bloom.cli.pages.card_page import card_page, direction


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Anna", "ltr"), ("1950 باريس", "rtl"), ("עברית", "rtl"), ("12!", "ltr"), ("", "ltr")],
)
def test_direction(text, expected):
    assert direction(text) == expected


def test_a_page_escapes_its_title_and_keeps_what_it_is_given():
    page = card_page("<script>", ".x { color: red }", "<p>{body} {0}</p>")
    assert "<title>&lt;script&gt;</title>" in page
    assert "<p>{body} {0}</p>" in page and ".x { color: red }" in page and ".card {" in page
