"""HTML that notebooks show."""

from typing import Literal

from spacy.util import is_in_jupyter

Jupyter = Literal["auto"] | bool


class Html(str):
    """HTML as text, which a notebook shows as what it stands for."""

    def _repr_html_(self) -> str:
        # MathJax would take dollar signs in texts for formulas.
        return f'<span class="tex2jax_ignore">{self}</span>'


def shown(html: str, jupyter: Jupyter, *, page: bool = False) -> Html | None:
    """Show HTML at once in a notebook, as displaCy does.

    html (str): HTML.
    jupyter (bool | str): Whether to show it; "auto" does in a notebook, if it is no complete page.
    page (bool): Whether it is a complete page, which is meant for a file.
    RETURNS (Html | None): The HTML; None if it was shown.
    """
    made = Html(html)
    if jupyter is True or (jupyter == "auto" and not page and is_in_jupyter()):
        from IPython.display import display

        display(made)
        return None
    return made
