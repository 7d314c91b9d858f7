"""How do many databases in one process know what SQLAlchemy has compiled of our statements?

A compiled statement depends on nothing but the statement and the dialect, but each engine compiles
anew. The product opens one; a test opens one for each life of each world, and compiling was a third
of what it cost.
"""

from typing import Final

from sqlalchemy import Engine

FIRST_OPENED: Final[dict[str, Engine]] = {}


def knowing_statements(opened: Engine) -> Engine:
    """Return ``opened``, which from now on compiles a statement only if no other has."""
    first = FIRST_OPENED.setdefault(opened.dialect.name, opened)
    opened.dialect, opened._compiled_cache = first.dialect, first._compiled_cache
    return opened
