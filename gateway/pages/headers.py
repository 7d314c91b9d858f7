"""What may a page of ours do in a browser? Nothing that does not come from here.

One policy for all pages; the one with the chart lets in a single text more, by its hash.
"""

from collections.abc import Sequence
from typing import Final

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors {framers}; form-action "
)
CHART_LOGO_STYLE: Final = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"
"""The one ``<style>`` that lightweight-charts 5.2.1 makes, for its logo. All else it does by script
(CSSOM), which no policy stops."""


def headers(
    cache_control: str,
    *,
    may_post: bool = False,
    styles: str = "",
    posts_to: str = "",
    framers: Sequence[str] = (),
) -> dict[str, str]:
    """Return the headers of a page, or of what belongs to it, that may be kept so long; only one
    that ``may_post`` sends forms, and to us alone, or to the one origin that it ``posts_to``;
    ``styles`` are hashes of style elements, ``framers`` the origins whose pages may show it in a
    frame: none, unless a shop has named them."""
    framed = " ".join(framers) or "'none'"
    policy = POLICY.format(styles=f" {styles}" if styles else "", framers=framed)
    return {
        "Content-Security-Policy": policy + (posts_to or ("'self'" if may_post else "'none'")),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": cache_control,
    }
