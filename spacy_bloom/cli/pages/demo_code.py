"""Python that does what a part of the demo's page shows."""

from ...checkpoint.sources import BUNDLED_PIPELINES

LOAD = """\
import spacy
{given}
nlp = spacy.load({source})
"""
BLANK = """\
import spacy

nlp = spacy.blank("xx", config={{"nlp": {{"tokenizer": {{"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}}}})
nlp.add_pipe("{factory}", config={config})
"""


def entities_code(pipeline: str, text: str) -> str:
    """RETURNS (str): Code that finds entities."""
    return f"{_load(pipeline)}doc = nlp({text!r})\nprint([(ent.text, ent.label_) for ent in doc.ents])"


def categories_code(pipeline: str, text: str) -> str:
    """RETURNS (str): Code that finds categories."""
    return f"{_load(pipeline)}doc = nlp({text!r})\nprint(max(doc.cats, key=doc.cats.get))"


def answers_code(pipeline: str, text: str, question: str) -> str:
    """RETURNS (str): Code that answers a question."""
    return (
        f"{_load(pipeline)}doc = nlp.make_doc({text!r})\ndoc._.questions = [{question!r}]\n"
        'print([(span.text, span._.answer_score) for span in nlp(doc).spans["answers"]])'
    )


def continuation_code(model: str, text: str, generation: object) -> str:
    """RETURNS (str): Code that continues a text."""
    config = {"model": {"name": model}, "max_new_tokens": 24, "generation": generation}
    made = BLANK.format(factory="bloom_text_generator", config=config)
    return f"{made}print(nlp({text!r})._.generated)"


def surprisal_code(model: str, text: str) -> str:
    """RETURNS (str): Code that measures surprisal."""
    made = BLANK.format(factory="bloom_surprisal", config={"model": {"name": model}})
    return f"{made}print([(token.text, token._.surprisal) for token in nlp({text!r})])"


def _load(pipeline: str) -> str:
    is_bundled = pipeline in BUNDLED_PIPELINES
    given = "from spacy_bloom import bundled_path\n" if is_bundled else ""
    return LOAD.format(given=given, source=f'bundled_path("{pipeline}")' if is_bundled else repr(pipeline))
