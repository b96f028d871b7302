"""What the zero-shot component asks about a Doc: prompts, and the texts that may follow them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from spacy.tokens import Doc

from ...errors import ConfigError
from ...settings import shown
from .prompt_template import PromptTemplate

PROMPT = "{{ doc.text }}\n\nTopic:"
MULTI_LABEL_PROMPT = "{{ doc.text }}\n\nQuestion: Is this text about {{ label }}?\nAnswer:"


@dataclass(frozen=True)
class Question:
    """A prompt, and the texts that may follow it.

    prompt (str): The rendered template.
    answers (tuple[str, ...]): The texts, each encoded on its own.
    """

    prompt: str
    answers: tuple[str, ...]


def ask(
    doc: Doc,
    labels: Sequence[str],
    *,
    prompt: str | None,
    verbalizers: Mapping[str, str],
    yes_no: tuple[str, str] | None,
) -> list[Question]:
    """Ask about a Doc.

    prompt (str | None), verbalizers (Mapping[str, str]): As in `ZeroShotSettings`.
    yes_no (tuple[str, str] | None): The two answers of a question about each label. None asks one question about all.
    RETURNS (list[Question]): One for all labels, or one for each.
    """
    template = make_template(prompt, yes_no is not None)
    if yes_no is not None:
        names = [verbalizers.get(label, label) for label in labels]
        return [Question(template.render(doc=doc, label=name, labels=names), yes_no) for name in names]
    answers = tuple(verbalizers.get(label, " " + label) for label in labels)
    return [Question(template.render(doc=doc, labels=[answer.strip() for answer in answers]), answers)]


@lru_cache(maxsize=32)
def make_template(prompt: str | None, multi_label: bool) -> PromptTemplate:
    """RETURNS (PromptTemplate): Compiled once.
    RAISES (ConfigError): It is no template over its variables, or asks the same question for all labels.
    """
    if not multi_label:
        return PromptTemplate(PROMPT if prompt is None else prompt, ("doc", "labels"))
    template = PromptTemplate(MULTI_LABEL_PROMPT if prompt is None else prompt, ("doc", "labels", "label"))
    try:
        PromptTemplate(template.source, ("doc", "labels"))
    except ConfigError:
        return template  # it does use the label
    raise ConfigError(
        "Expected a prompt that asks for one label, as multi_label is true, got one without {{ label }}: "
        f"{shown(template.source)}."
    )
