"""Between what may a store's settings be, whichever door they come through?"""

from typing import Final

NAME_CHARS_MAX: Final = 80
LIFETIME_S_LEAST: Final = 60
LIFETIME_S_MOST: Final = 86_400
"""How long an invoice waits."""

TOLERANCE_PPM_MAX: Final = 100_000
