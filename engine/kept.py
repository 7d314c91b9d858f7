"""What is kept by the hundred thousand, and never looked through?

Python's collector of cycles walks all that could be part of one, whenever a quarter has been added:
with a hundred thousand answers and orders in memory that stops the loop for tens of milliseconds,
again and again. These hold nothing that could lead back to them, so they are not walked.
"""

import msgspec


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record of numbers, text and other records; in a snapshot an array, as a named tuple is."""
