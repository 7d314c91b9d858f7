"""Where is it kept until when an account's API keys are void?

A file of lines, each an account and a moment; the last of an account counts. It grows by a line for
each time that a trader ends his keys, and is written anew at a start with one line an account.
"""

import asyncio
import os
import re
from pathlib import Path
from typing import Final

LINE: Final = re.compile("([0-9a-f]{40}) ([0-9]{1,15})")


class FileEpochs:
    """``gateway.trading.api_keys.KeyEpochs`` in a file. Raises OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._epochs: dict[bytes, int] = {}
        self._writing = asyncio.Lock()
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            # The last line may be torn; then it was answered to nobody.
            found = LINE.fullmatch(line)
            if found is not None:
                account = bytes.fromhex(found[1])
                self._epochs[account] = max(self.of(account), int(found[2]))
        if len(lines) != len(self._epochs):
            self._write_anew()

    def of(self, account: bytes) -> int:
        """See ``KeyEpochs``."""
        return self._epochs.get(account, 0)

    async def end(self, account: bytes, issued_ms: int) -> None:
        """See ``KeyEpochs``."""
        # Void at once, durable when it is answered: never the other way round.
        self._epochs[account] = issued_ms
        async with self._writing:
            await asyncio.to_thread(self._append, f"\n{account.hex()} {issued_ms}\n")

    def _append(self, line: str) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _write_anew(self) -> None:
        aside = self._path.with_suffix(".new")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.writelines(
                f"{account.hex()} {moment}\n" for account, moment in self._epochs.items()
            )
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self._path)
