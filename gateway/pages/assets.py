"""How do our pages' style, modules and chart get to a browser, and only once?

Each address carries the version of all of them, so a module that imports another by a relative
address gets the one that belongs to it, and whoever has them need not ask again.
"""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

PAGES: Final = Path(__file__).parent
FOLDERS: Final = ("market", "dashboard", "vendor")
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript"}
VERSION_CHARS: Final = 12


class Asset(NamedTuple):
    """One file as it is sent: as it is, and packed for those who can unpack it."""

    media_type: str
    plain: bytes
    packed: bytes

    def body(self, accepted: str) -> tuple[bytes, dict[str, str]]:
        """Return the bytes and headers for who accepts the encodings that a header names."""
        varies = {"Vary": "Accept-Encoding"}
        if "gzip" in accepted:
            return self.packed, varies | {"Content-Encoding": "gzip"}
        return self.plain, varies


class Assets(NamedTuple):
    """All files by name, under one version."""

    version: str
    files: Mapping[str, Asset]


@cache
def assets() -> Assets:
    """Return all that the page loads; read and packed at the first call, which takes some 20 ms,
    so the application calls it before it serves."""
    paths = [
        path
        for folder in FOLDERS
        for path in sorted((PAGES / folder).rglob("*"))
        if path.suffix in TYPES
    ]
    files = {
        path.relative_to(PAGES).as_posix(): Asset(
            TYPES[path.suffix], path.read_bytes(), gzip.compress(path.read_bytes(), mtime=0)
        )
        for path in paths
    }
    named = b"".join(name.encode() + asset.plain for name, asset in files.items())
    version = hashlib.sha256(named).hexdigest()[:VERSION_CHARS]
    return Assets(version, MappingProxyType(files))
