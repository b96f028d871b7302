"""`python -m spacy bloom demo`: entities in many languages, in the terminal and on a page."""

import html
import unicodedata
from pathlib import Path
from typing import List, Optional

import spacy
from spacy import displacy
from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc
from wasabi import color, msg

from ..checkpoint.sources import bundled_path

# Written for this page; the languages of the bundled pipeline's training data.
SENTENCES = {
    "Arabic": "سافر نجيب محفوظ من القاهرة إلى باريس عام 1950.",
    "Catalan": "L'alcaldessa de Girona, Marta Madrenas, va rebre el president de la Universitat de Barcelona.",
    "Chinese (simplified)": "张伟教授在北京大学工作，他的姐姐住在上海。",
    "Chinese (traditional)": "陳小姐去年從臺北搬到香港，在香港大學教書。",
    "English": "Angela Miller works for Microsoft in London.",
    "French": "Le général Martin est arrivé hier à Lyon avec les ministres de Belgique.",
    "Hindi": "राहुल शर्मा दिल्ली में रहते हैं और भारतीय रिज़र्व बैंक में काम करते हैं।",
    "Indonesian": "Presiden Joko Widodo bertemu dengan pengurus Bank Indonesia di Surabaya.",
    "Nepali": "प्रधानमन्त्री सुशील कोइरालाले काठमाडौंमा नेपाली कांग्रेसका नेताहरूलाई भेटे।",
    "Portuguese": "A escritora Clara Mendes nasceu em Coimbra e trabalha na Universidade de Lisboa.",
    "Telugu": "రాముడు హైదరాబాద్ నుండి చెన్నై వెళ్ళాడు.",
    "Urdu": "پاکستان کے وزیر اعظم عمران خان نے بھارت کا دورہ کیا۔",
}
COLORS = {"PER": "#ffd8a8", "LOC": "#b2f2bb", "ORG": "#a5d8ff"}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>spacy_bloom: entities in many languages</title>
<style>
body {{ font-family: system-ui, sans-serif; font-size: 17px; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }}
h2 {{ font-size: 0.85rem; font-weight: 600; color: #666; margin: 1.2rem 0 0 }}
.entities {{ line-height: 2.2 !important }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def demo_cli(
    # fmt: off
    texts: Optional[List[str]] = Arg(
        None, help="Your own sentences, in any language; by default ones that come with the demo"
    ),
    output: Path = Opt(Path("demo.html"), "--output", "-o", help="Where to write the page", dir_okay=False),
    pipeline: str = Opt(
        "xx_bloom_tiny_demo",
        "--pipeline",
        "-p",
        help="Bundled pipeline, or a directory or package that spacy.load takes",
    ),
    # fmt: on
) -> None:
    """
    Find entities with the bundled pipeline, print them and write a displaCy
    page beside them. Runs offline on the CPU.
    """
    nlp = spacy.load(bundled_path(pipeline) or pipeline)
    named = {f"Text {i + 1}": text for i, text in enumerate(texts)} if texts else SENTENCES
    headings, docs = list(named), list(nlp.pipe(named.values()))
    for heading, doc in zip(headings, docs, strict=True):
        print(f"{color(heading, bold=True)}  {doc.text}")
        found = [f"{ent.text} ({ent.label_})" for ent in doc.ents]
        print("    " + (", ".join(found) or "no entities") + "\n")
    output.write_text(render_page(headings, docs), encoding="utf8")
    msg.good("Page written", output.resolve())


def render_page(headings: List[str], docs: List[Doc]) -> str:
    """RETURNS (str): An HTML page with the entities of each Doc, in the Doc's own direction of writing.

    displaCy gives a whole page the direction of its first Doc, so each is rendered by itself.
    """
    sections = []
    for heading, doc in zip(headings, docs, strict=True):
        # displaCy warns of a Doc without entities; in a text of the user's that is no fault.
        entities = displacy.parse_ents(doc) if doc.ents else {"text": doc.text, "ents": [], "title": None}
        entities["settings"] = {"lang": doc.lang_, "direction": direction(doc.text)}
        marked = displacy.render(
            entities, style="ent", manual=True, jupyter=False, options={"colors": COLORS}
        )
        sections.append(f"<section>\n<h2>{html.escape(heading)}</h2>\n{marked}\n</section>")
    return PAGE.format(body="\n".join(sections))


def direction(text: str) -> str:
    """RETURNS (str): "rtl" or "ltr", as the first character with a direction says."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
