"""How does somebody who trusts nobody check an exchange? By its log, a node, and nothing else.

Replays the log with the plain engine, the oracle, and holds every command, trade and batch against
the chain (``settlement.audit.audit``), and what the operator has acknowledged against the log.
Reads only; works beside a running exchange.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.journal import DirectoryReader, JournalCorrupt
from engine.reference import Engine
from engine.sequencer.replay import Replay
from settlement.audit.audit import Audit
from settlement.audit.onchain import read_published
from settlement.batches.acknowledgements import Acknowledgement
from settlement.chain.chain import Chain, ChainUnavailableError, node_at
from settlement.chain.deploy import Deployment, DeploymentError, connect
from settlement.protocol.abi import encode_call

BUSTS_SHOWN: Final = 100


class NotVerified(Exception):
    """Nothing could be checked; the message says why."""


class Verdict(NamedTuple):
    """What is wrong, in sentences, and how many commands at the end nothing proves yet."""

    faults: list[str]
    commands: int
    unproven: int


class _Word(msgspec.Struct):
    """An acknowledgement as an exchange answers it; hexadecimal text."""

    sequence: int
    item: str
    head: str
    signer: str
    index: int
    count: int
    siblings: list[str]
    signature: str


def verify(
    directory: Path,
    url: str,
    deployment: Path,
    acknowledgements: Path | None,
    say: Callable[[str], None],
) -> Verdict:
    """Return all that is wrong with the log in ``directory``; tell ``say`` what was looked at.

    Raises ``NotVerified``.
    """
    words = [] if acknowledgements is None else read_words(acknowledgements)
    try:
        return _verify(directory, node_at(url), deployment, words, say)
    except (ChainUnavailableError, DeploymentError, OSError) as error:
        raise NotVerified(str(error)) from error


def _verify(
    directory: Path,
    chain: Chain,
    deployment: Path,
    words: list[Acknowledgement],
    say: Callable[[str], None],
) -> Verdict:
    contracts = connect(chain, deployment)
    published = read_published(chain, contracts)
    say(f"{len(published.batches)} batches on chain at 0x{contracts.exchange.hex()}")
    audit = Audit(contracts.domain, published)
    broken = []
    try:
        for committed in Replay(DirectoryReader(directory), Engine).batches():
            audit.consume(committed)
    except JournalCorrupt as fault:
        broken = [f"the log contradicts its own hashes: {fault}"]
    except (AssertionError, ValueError, LookupError, OverflowError) as fault:
        broken = [f"the log cannot be replayed after {audit.command_count}: {fault}"]
    faults = [*audit.faults, *broken] if broken else audit.judge()
    unproven = max(audit.command_count - audit.settled_count, 0)
    if not broken:
        say(f"{audit.command_count} commands, {audit.trade_count} trades in the log")
        say(f"{unproven} commands at its end are in no batch yet")
        for note in audit.notes():
            say(note)
        for bust in audit.busts[:BUSTS_SHOWN]:
            say(f"busted: {bust}")
        if len(audit.busts) > BUSTS_SHOWN:
            say(f"and {len(audit.busts) - BUSTS_SHOWN} more busts")
    if words:
        say(f"{len(words)} acknowledgements held against the log")
        faults = [*faults, *audit.compare(words, _bonded_signer(chain, contracts))]
    return Verdict(faults, audit.command_count, unproven)


def read_words(path: Path) -> list[Acknowledgement]:
    """Read acknowledgements, one JSON object a line: as they were answered, or the whole answer to
    an order. Raises ``NotVerified``."""
    words = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                words += _words_in(line, number)
    except OSError as error:
        raise NotVerified(str(error)) from error
    return words


def _words_in(line: bytes, number: int) -> list[Acknowledgement]:
    try:
        read = msgspec.json.decode(line)
        if isinstance(read, dict) and "acknowledgement" in read:
            read = read["acknowledgement"]
        word = msgspec.convert(read, _Word | None)
        return [] if word is None else [_of(word)]
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotVerified(f"line {number} is no acknowledgement: {error}") from error


def _of(word: _Word) -> Acknowledgement:
    item, head, signer, signature, *siblings = (
        bytes.fromhex(text.removeprefix("0x"))
        for text in (word.item, word.head, word.signer, word.signature, *word.siblings)
    )
    return Acknowledgement(
        word.sequence,
        item,
        head,
        signer,
        word.index,
        word.count,
        tuple(siblings),
        signature,
    )


def _bonded_signer(chain: Chain, contracts: Deployment) -> bytes | None:
    if not contracts.bond:
        return None
    return chain.call(contracts.bond, encode_call("signer", contract="Bond"))[12:]
