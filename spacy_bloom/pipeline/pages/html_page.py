"""A whole page of HTML around what was rendered."""

import html

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def html_page(title: str, style: str, body: str) -> str:
    """title (str): Plain text.
    style, body (str): CSS and HTML.
    RETURNS (str): The page.
    """
    return PAGE.format(title=html.escape(title), style=style.strip(), body=body)
