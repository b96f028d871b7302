"""Component classes as factories of spaCy: each setting is declared once, as a field of a settings class."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

from spacy.language import Language

from .dollar_signs import SETTING, StoredName, plain_settings, remember

ComponentClass = TypeVar("ComponentClass", bound=type)


def component(
    factory: str,
    settings: type,
    default_config: Mapping[str, Any],
    *,
    assigns: Iterable[str],
    score_weights: Mapping[str, float | None] | None = None,
) -> Callable[[ComponentClass], ComponentClass]:
    """Register a component class as a factory. Its config keys are the fields of the settings class, and the
    arguments of the component class that are not `**settings`, such as `model` and `scorer`, and `dollar`: see
    `dollar_signs`.

    factory (str): The registered name.
    settings (type): A dataclass whose fields all have defaults.
    default_config (Mapping[str, Any]): Defaults of the other arguments.
    assigns (Iterable[str]), score_weights (Mapping[str, float | None] | None): As for `Language.factory`.
    RETURNS (Callable[[type], type]): A class decorator.
    """

    def register(cls: ComponentClass) -> ComponentClass:
        names = vars(settings()).keys()

        def make(nlp: Language, name: str, dollar: str | None = None, **given: Any) -> Any:
            own = {key: value for key, value in given.items() if key in names}
            pipe = cls(nlp, name=name, **{**given, **plain_settings(own, dollar)})
            remember(pipe, nlp, own, dollar)
            return pipe

        # spaCy validates configs by signature.
        make.__signature__ = _with_settings(signature(cls), settings)  # type: ignore[attr-defined]
        cls.name = StoredName()  # type: ignore[attr-defined]
        Language.factory(
            factory,
            assigns=assigns,
            default_config={**vars(settings()), **default_config},
            default_score_weights=dict(score_weights or {}),
        )(make)
        return cls

    return register


class FactoryName(str):
    """The name of a factory that equals another one too: spaCy's `debug data` and `evaluate --displacy-path` know what
    a component writes by the name of spaCy's own factory.

    name (str): The name.
    like (str): The other one, if any.
    """

    like: str

    def __new__(cls, name: str, like: str = "") -> "FactoryName":
        self = super().__new__(cls, name)
        self.like = like or name
        return self

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or self.like == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def announce(
    nlp: Language,
    factory: str,
    *,
    like: str,
    assigns: Iterable[str],
    score_weights: Mapping[str, float | None],
) -> None:
    """Tell spaCy what a component writes, where that depends on its settings. spaCy knows it by factory alone, and
    looks it up right after it has made a component; so this is called when one is made. A sourced component is not
    made again: it has the default weights of the one that was made last.

    nlp (Language), factory (str): Whose component it is.
    like (str): The factory of spaCy that writes the same; "" for none.
    assigns (Iterable[str]), score_weights (Mapping[str, float | None]): As for `Language.factory`.
    """
    own = replace(
        nlp.get_factory_meta(factory),
        factory=FactoryName(factory, like),
        assigns=list(assigns),
        scores=list(score_weights),
        default_score_weights=dict(score_weights),
    )
    nlp.set_factory_meta(factory, own)


def _with_settings(own: Signature, settings: type) -> Signature:
    """RETURNS (Signature): The fields in place of `**settings`, and `dollar`."""
    parameters = [p for p in own.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    types = get_type_hints(settings)
    for name, default in vars(settings()).items():
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=types[name]))
    parameters.append(Parameter(SETTING, Parameter.KEYWORD_ONLY, default=None, annotation=str | None))
    return own.replace(parameters=parameters)
