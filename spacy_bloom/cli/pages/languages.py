"""Languages of the demo's texts by their English names."""

from typing import NamedTuple


class Language(NamedTuple):
    """A language.

    code (str): BCP 47, for browsers: it chooses fonts, voices and hyphens.
    name (str): In the language itself.
    """

    code: str
    name: str


LANGUAGES = {
    "Arabic": Language("ar", "العربية"),
    "Catalan": Language("ca", "català"),
    "Chinese (simplified)": Language("zh-Hans", "简体中文"),
    "Chinese (traditional)": Language("zh-Hant", "繁體中文"),
    "English": Language("en", ""),
    "French": Language("fr", "français"),
    "Hindi": Language("hi", "हिन्दी"),
    "Indonesian": Language("id", "bahasa Indonesia"),
    "Nepali": Language("ne", "नेपाली"),
    "Portuguese": Language("pt", "português"),
    "Swahili": Language("sw", "Kiswahili"),
    "Tamil": Language("ta", "தமிழ்"),
    "Telugu": Language("te", "తెలుగు"),
    "Urdu": Language("ur", "اردو"),
}
