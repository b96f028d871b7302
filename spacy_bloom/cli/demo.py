"""`python -m spacy bloom demo`: what the components do, in many languages."""

from itertools import starmap
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import spacy
from spacy.cli._util import Arg, Opt
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import color, msg

from ..errors import InputError
from ..pipeline.answering.answers import get_answers
from ..pipeline.pages.quality import quality_of, size_of
from .failures import check_file
from .inputs import load_pipeline
from .pages.demo_code import (
    answers_code,
    categories_code,
    continuation_code,
    entities_code,
    surprisal_code,
)
from .pages.demo_page import (
    Section,
    answers_card,
    best_category,
    category_card,
    continuation_card,
    entities_card,
    render_page,
    surprisal_html,
)
from .pages.entity_scores import entity_scores, keep_probabilities

# All texts were written for this page; the languages are those of the bundled pipelines' training data.
SENTENCES = {
    "Arabic": "يعيش محمد بن سعيد في مدينة دمشق في سوريا.",
    "Catalan": "L'alcaldessa de Girona, Marta Madrenas, va rebre el president de la Universitat de Barcelona.",
    "Chinese (simplified)": "张伟教授在北京大学工作，他的姐姐住在上海。",
    "Chinese (traditional)": "陳小姐去年搬到香港，在香港大學教書。",
    "English": "John Miller works for Microsoft in London.",
    "French": "Le général Martin est arrivé hier à Lyon avec les ministres de Belgique.",
    "Hindi": "राहुल शर्मा दिल्ली में रहते हैं और भारतीय रिज़र्व बैंक में काम करते हैं।",
    "Indonesian": "Presiden Joko Widodo bertemu dengan pengurus Bank Indonesia di Surabaya.",
    "Nepali": "प्रधानमन्त्री सुशील कोइरालाले काठमाडौंमा नेपाली कांग्रेसका नेताहरूलाई भेटे।",
    "Portuguese": "A escritora Clara Mendes nasceu em Coimbra e trabalha na Universidade de Lisboa.",
    "Telugu": "సీత హైదరాబాద్ నుండి చెన్నై వెళ్ళింది.",
    "Urdu": "پاکستان کے وزیر اعظم عمران خان نے بھارت کا دورہ کیا۔",
}
TOPICAL = {
    "Chinese (simplified)": "如果您乘飞机前往该国旅行，请提前预订酒店，并向旅行社询问签证和机票的价格。",
    "French": "Si vous voyagez en avion, réservez votre hôtel à l'avance et renseignez-vous sur les visas et le prix des "
    "billets.",
    "Indonesian": "Para ilmuwan mengatakan bahwa bintang itu terdiri dari gas panas dan memancarkan cahaya karena reaksi "
    "nuklir.",
    "Portuguese": "Os cientistas descobriram que a energia do Sol é produzida por reações nucleares entre átomos de "
    "hidrogénio.",
    "Swahili": "Ikiwa unasafiri kwenda nchi nyingine kwa ndege, weka nafasi ya hoteli mapema na uliza kuhusu visa.",
    "Urdu": "وزیر اعظم نے کہا کہ حکومت نومبر میں انتخابات کرائے گی اور اپوزیشن جماعتوں نے اس فیصلے پر تنقید کی۔",
}
# A text and a question about it.
PASSAGES = {
    "Arabic": (
        "تأسست مكتبة المدينة عام 1921 على يد المعلمة ليلى حداد، وتضم اليوم أربعين ألف كتاب.",
        "متى تأسست مكتبة المدينة؟",
    ),
    "Chinese (simplified)": (
        "这座石桥建于1856年，由工程师李明设计，全长三百二十米，连接老城和火车站。",
        "石桥建于哪一年？",
    ),
    "English": (
        "The lighthouse was built in 1874 by the engineer Robert Hale. It is 38 metres high and stands on the north "
        "coast of the island.",
        "When was the lighthouse built?",
    ),
    "French": (
        "Le musée de la Mer a ouvert ses portes en 1988 à Saint-Malo. Il reçoit chaque année deux cent mille visiteurs.",
        "En quelle année le musée a-t-il ouvert ?",
    ),
    "Hindi": (
        "यह संग्रहालय 1935 में जयपुर में खोला गया था और इसमें बारह हज़ार से अधिक चित्र रखे हैं।",
        "संग्रहालय कब खोला गया था?",
    ),
    "Indonesian": (
        "Pasar terapung itu dibuka pada tahun 1962 oleh Gubernur Hasan Basri dan menjadi tujuan wisata utama.",
        "Siapa yang membuka pasar terapung itu?",
    ),
}
BEGINNINGS = {
    "English": "The children walked to the",
    "French": "Le gouvernement a annoncé que la",
    "Hindi": "बच्चे अपने घर के",
    "Portuguese": "Os cientistas descobriram que a",
    "Swahili": "Watoto walikwenda",
    "Tamil": "குழந்தைகள்",
}
SURPRISING = {
    "English": "She poured milk into her tea and stirred it with a bicycle.",
    "Portuguese": "O gato dormiu no sofá durante toda a tarde.",
    "Arabic": "ذهب الأولاد إلى المدرسة في الصباح.",
    "Chinese (simplified)": "我今天早上在公园里看见一只老虎。",
}
# Beam search reads better than greedy decoding; the penalty keeps a small model from repeating itself.
GENERATION = {"num_beams": 4, "repetition_penalty": 1.2}
HEAT_MAP = "How surprising each word is after those before it"
Named = Dict[str, Doc]


class Texts(NamedTuple):
    """The texts that each component is shown with, by heading.

    passages (dict[str, tuple[str, str]]): Texts, each with a question about it.
    """

    sentences: Dict[str, str] = SENTENCES
    topical: Dict[str, str] = TOPICAL
    passages: Dict[str, Tuple[str, str]] = PASSAGES
    beginnings: Dict[str, str] = BEGINNINGS
    surprising: Dict[str, str] = SURPRISING


def demo_cli(
    texts: Optional[List[str]] = Arg(None, help="Your own texts, in any language; by default those of the demo"),
    question: Optional[str] = Opt(None, "--question", "-q", help="Question to ask about each of your own texts"),
    output: Path = Opt(Path("demo.html"), "--output", "-o", help="Where to write the page", dir_okay=False),
    pipeline: str = Opt("xx_bloom_tiny_demo", "--pipeline", "-p", help="Pipeline for entities and categories: a bundled name, a directory or a package"),
    answerer: str = Opt("xx_bloom_tiny_qa", "--answerer", "-a", help="Pipeline that answers questions: likewise"),
    model: str = Opt("tiny-bloom", "--model", "-m", help="Language model for continuations and surprisal: a bundled name, a directory or a Hub name"),
) -> None:  # fmt: skip
    """
    Show entities, categories, answers, continuations and surprisal with the
    bundled models, in the terminal and on a page. Runs offline on the CPU.
    """
    check_file(output)
    chosen = chosen_texts(texts, question)
    nlp, language_model = load_pipeline(pipeline), load_language_model(model)
    keep_probabilities(nlp)
    found, topics = annotate(nlp, chosen.sentences), annotate(nlp, chosen.topical)
    asked = load_pipeline(answerer) if chosen.passages else None
    answered = ask(asked, chosen.passages) if asked else {}
    continued = annotate(language_model, chosen.beginnings)
    measured = annotate(language_model, chosen.surprising)

    print_entities(found)
    print_categories(topics)
    print_answers(answered)
    print_continuations(continued)
    good, good_answers = quality_of(nlp.meta), quality_of(asked.meta) if asked else ""
    large = size_of(language_model.get_pipe("bloom_surprisal").language_model.config)  # type: ignore[attr-defined]
    text = next(iter(chosen.sentences.values()))
    sections = [
        Section("Entities", f"doc.ents, from {pipeline}", [entities_card(name, doc, entity_scores(doc)) for name, doc in found.items()], quality=good, code=entities_code(pipeline, text)),
        Section("Topics", f"doc.cats, from {pipeline}", list(starmap(category_card, topics.items())), quality=good, code=categories_code(pipeline, next(iter(chosen.topical.values())))),
        Section("Answers", f'doc.spans["answers"], from {answerer}', list(starmap(answers_card, answered.items())), quality=good_answers, code=answers_code(answerer, *next(iter(chosen.passages.values()), ("", "")))),
        Section("Continuations", f"doc._.generated, from {model}", list(starmap(continuation_card, continued.items())), quality=large, code=continuation_code(model, next(iter(chosen.beginnings.values())), GENERATION)),
        Section(HEAT_MAP, f"token._.surprisal, from {model}", html=surprisal_html(measured), quality=large, code=surprisal_code(model, next(iter(chosen.surprising.values())))),
    ]  # fmt: skip
    output.write_text(render_page([s for s in sections if s.cards or s.html]), encoding="utf8")
    msg.good("Page written", output.resolve())


def chosen_texts(texts: Optional[List[str]], question: Optional[str]) -> Texts:
    """RETURNS (Texts): The user's own texts, or those of the demo."""
    if not texts:
        if question is not None:
            raise InputError("--question is asked about your own texts: give at least one.")
        return Texts()
    own = {f"Text {i + 1}": text for i, text in enumerate(texts)}
    asked = {} if question is None else {heading: (text, question) for heading, text in own.items()}
    return Texts(own, own, asked, own, own)


def load_language_model(name: str) -> Language:
    """RETURNS (Language): A pipeline that generates and measures surprisal, with one copy of the weights."""
    tokenizer = {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": tokenizer}})
    settings: Dict[str, Any] = {"prompt": "{{ doc.text }}", "max_new_tokens": 24, "generation": GENERATION}
    nlp.add_pipe("bloom_text_generator", config={**settings, "model": {"name": name}})
    nlp.add_pipe("bloom_surprisal", config={"model": {"name": name}})
    return nlp


def annotate(nlp: Language, texts: Dict[str, str]) -> Named:
    """RETURNS (dict[str, Doc]): Docs by heading."""
    return dict(zip(texts, nlp.pipe(texts.values()), strict=True))


def ask(nlp: Language, passages: Dict[str, Tuple[str, str]]) -> Named:
    """RETURNS (dict[str, Doc]): Docs by heading, with answers to their questions."""
    docs = []
    for text, question in passages.values():
        doc = nlp.make_doc(text)
        doc._.questions = [question]
        docs.append(doc)
    return dict(zip(passages, nlp.pipe(docs), strict=True))


def print_entities(docs: Named) -> None:
    """Print texts with their entities."""
    for heading, doc in docs.items():
        print(f"{color(heading, bold=True)}  {doc.text}")
        entities = [f"{ent.text} ({ent.label_})" for ent in doc.ents]
        print("    " + (", ".join(entities) or "no entities") + "\n")


def print_categories(docs: Named) -> None:
    """Print texts with their most probable category."""
    for heading, doc in docs.items():
        print(f"{color(heading, bold=True)}  {doc.text}\n    {best_category(doc) or 'no category'}\n")


def print_answers(docs: Named) -> None:
    """Print questions with their answers."""
    for heading, doc in docs.items():
        for question, spans in get_answers(doc).items():
            answers = ", ".join(span.text for span in spans) or "no answer"
            print(f"{color(heading, bold=True)}  {question}\n    {answers}\n")


def print_continuations(docs: Named) -> None:
    """Print texts with what was generated after them."""
    for heading, doc in docs.items():
        print(f"{color(heading, bold=True)}  {doc.text}{color(doc._.generated, fg='magenta')}\n")
