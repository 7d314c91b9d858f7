"""How does text that strangers chose get into a page without becoming markup?

By type: what is no ``Html`` is escaped wherever it is put, so nobody can forget to.
"""

import html
from string import Template


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Return ``text`` as markup that shows it."""
    return text if isinstance(text, Html) else Html(html.escape(text))


def fill(template: Template, **values: object) -> Html:
    """Return ``template`` with ``values`` in it, each escaped unless it is ``Html``."""
    shown = {name: escape(v if isinstance(v, str) else str(v)) for name, v in values.items()}
    return Html(template.substitute(shown))
