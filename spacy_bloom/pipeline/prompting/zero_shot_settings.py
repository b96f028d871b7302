"""What the zero-shot component is told: labels, prompts, and what its settings may be."""

import warnings
from functools import lru_cache
from typing import Any

from ...errors import BloomError, BloomWarning, ConfigError
from ...settings import shown
from .prompt_template import PromptTemplate

PROMPT = "{{ doc.text }}\n\nTopic:"
MULTI_LABEL_PROMPT = "{{ doc.text }}\n\nQuestion: Is this text about {{ label }}?\nAnswer:"


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


def checked_labels(labels: Any, where: str, error: type[BloomError]) -> list[str]:
    """RETURNS (list[str]): The labels. RAISES (BloomError): They are not one or more different texts."""
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise error(f"Expected {where} to be a list of texts, got {labels!r}.")
    if not labels:
        raise error(
            f"Expected {where} to have one label or more, got none. Leave it out for none of its own."
        )
    if not all(label.strip() for label in labels):
        raise error(f"Expected {where} to be texts that are not empty, got {list(labels)}.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise error(
            f"Expected {where} to be different, got {repeated} more than once. Remove the repetitions."
        )
    return list(labels)


def check_settings(cfg: dict[str, Any]) -> None:
    """RAISES (ConfigError): A setting is not what it should be."""
    if cfg["labels"] is not None:
        cfg["labels"] = checked_labels(cfg["labels"], "labels", ConfigError)
        if len(cfg["labels"]) < 2 and not cfg["multi_label"]:
            raise ConfigError(
                f"Expected two labels or more, got {cfg['labels']}: of one label alone the score is always 1. Add "
                "another, or set multi_label = true to ask for each on its own."
            )
    for label, text in (cfg["verbalizers"] or {}).items():
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(
                f"Expected the verbalizer of {label!r} to be text that is not empty, got {text!r}."
            )
    for name in ("yes", "no"):
        if not isinstance(cfg[name], str) or not cfg[name].strip():
            raise ConfigError(f"Expected {name} to be text that is not empty, got {cfg[name]!r}.")
    if cfg["yes"] == cfg["no"]:
        raise ConfigError(f"Expected yes and no to be different texts, got {cfg['yes']!r} for both.")
    if not 0.0 <= cfg["threshold"] <= 1.0:
        raise ConfigError(f"Expected threshold to be from 0 to 1, got {cfg['threshold']}.")
    for name in ("max_batch_items", "max_prompt_pieces"):
        most = cfg[name]
        if most is not None and most < 1:
            raise ConfigError(f"Expected {name} to be 1 or more, got {most}.")
    make_template(cfg["prompt"], cfg["multi_label"])
    _warn_of_settings(cfg)


def _warn_of_settings(cfg: dict[str, Any]) -> None:
    """Warn of what works, but is most likely a mistake."""
    unknown = sorted(set(cfg["verbalizers"] or ()) - set(cfg["labels"] or cfg["verbalizers"] or ()))
    if unknown:
        warnings.warn(
            f"Got verbalizers for {unknown}, which are not among the labels {cfg['labels']}: they are used only "
            "for Docs that have these labels on doc._.labels.",
            BloomWarning,
            stacklevel=2,
        )
    if (cfg["prompt"] or "").endswith(" "):
        warnings.warn(
            f"Got a prompt that ends in a space: {cfg['prompt'][-20:]!r}. Pieces begin with the space before a word, "
            "so let the prompt end without one, and the verbalizers begin with it.",
            BloomWarning,
            stacklevel=2,
        )
