"""From a language's code to how spaCy cuts its texts into tokens."""

from typing import Dict, Tuple

from spacy.util import get_lang_class

from ...errors import ConfigError

MANY = "xx"  # spaCy's code for several languages at once
MULTILINGUAL = {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}
# spaCy cuts it with the rules of spaced scripts, though no spaces stand between its words.
UNSPACED = ("bo",)


def find_language(lang: str) -> Tuple[str, Dict[str, str]]:
    """lang (str): spaCy's code of a language, or several with commas, which are "xx" together.
    RETURNS (tuple[str, dict[str, str]]): The code for a config's [nlp], and what stands in [nlp.tokenizer]: the
        multilingual tokenizer where spaCy has none of its own or one that needs another package (ja, ko, th, vi) or
        cuts words of other scripts into characters (zh); nothing where spaCy's rules are made for the language.
    RAISES (ConfigError): spaCy does not know a language.
    """
    codes = [_known(code.strip()) for code in lang.split(",")]
    code = codes[0] if len(set(codes)) == 1 else MANY
    defaults = getattr(get_lang_class(code).Defaults, "config", {})
    has_own_tokenizer = "tokenizer" in defaults.get("nlp", {})
    return code, MULTILINGUAL if code in (MANY, *UNSPACED) or has_own_tokenizer else {}


def _known(lang: str) -> str:
    try:
        return get_lang_class(lang).lang or lang
    except ImportError:
        raise ConfigError(
            f"spaCy knows no language {lang!r}. Expected a code such as en, ar or zh; {MANY} stands for several "
            "languages, and for one that spaCy does not know."
        ) from None
