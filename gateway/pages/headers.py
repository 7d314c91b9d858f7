"""What may a page of ours do in a browser? Nothing that does not come from here.

One policy for all pages, so that none is weaker than the others.
"""

from typing import Final

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action "
)


def headers(cache_control: str, *, may_post: bool = False) -> dict[str, str]:
    """Return the headers of a page, or of what belongs to it, that may be kept so long; only one
    that ``may_post`` sends forms, and to us alone."""
    return {
        "Content-Security-Policy": POLICY + ("'self'" if may_post else "'none'"),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": cache_control,
    }
