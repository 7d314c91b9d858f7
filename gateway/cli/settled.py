"""Do a shop's reports say what the chain has changed, token by token, to the unit?

Reads the shops' rows beside a server that may be running, and a node; writes nothing.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from merchants.reports.on_chain import Compared, against_chain
from merchants.service import open_merchants_database
from settlement.audit.accounts import MovedOnChain, SellerKey, moved_on_chain
from settlement.chain.chain import node_at
from settlement.chain.deploy import Deployment
from settlement.protocol.checksum import checksum_address


def compared(
    directory: Path, store_id: str, url: str, confirmations: int, server: str = ""
) -> Compared | None:
    """Return the comparison, None if there is no such store. Raises what ``Deployment.load``,
    ``open_merchants_database`` and ``moved_on_chain`` do."""
    deployment, chain = Deployment.load(directory / "deployment.json"), node_at(url)

    def read(accounts: Collection[bytes], keys: Collection[SellerKey]) -> MovedOnChain:
        return moved_on_chain(chain, deployment, accounts, keys, confirmations)

    database = open_merchants_database(directory, server)
    try:
        return against_chain(database, store_id, read)
    finally:
        database.dispose()


def lines_of(found: Compared) -> Iterator[str]:
    """Yield what is printed: the block, each token's sums in pips, and where they part."""
    yield f"at block {found.block}, {found.batches} batches"
    for token in sorted({*found.deltas, *found.reported}):
        chain, report = found.deltas.get(token, 0), found.reported.get(token, 0)
        yield f"{checksum_address(token)}  chain {chain:+}  report {report:+}  pips"
        columns = found.columns.get(token, {})
        yield "    " + "  ".join(f"{name} {pips:+}" for name, pips in columns.items() if pips)
    for place, report_columns, chain_columns in found.apart:
        yield (
            f"WRONG: batch {place[0]}: sold, proceeds, fee are {report_columns} in the report "
            f"and {chain_columns} on chain"
        )
    for fault in found.faults:
        yield f"WRONG: {fault}"
