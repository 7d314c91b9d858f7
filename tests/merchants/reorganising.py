"""A chain that is written anew, deeper than the confirmations: what a test has taken away of it is
in ``World.lost``, what came back and is not deep yet in ``World.shallow``."""

from settlement.ports import BlocksRead, DepositSeen
from settlement.protocol.evidence import DepositEvidence, decode

BLOCKS_MAX = 10**6
"""More blocks than there will be."""


def read_again(world):
    """Show merchants all blocks anew, without what the reorganisation has taken away."""
    there = tuple(one for one in world.transfers if one.tx_hash not in world.lost)
    deposits = tuple(deposits_of(world))
    world.venue.merchants.blocks_read(
        BlocksRead(0, BLOCKS_MAX, world.newest_block, there, deposits)
    )


def deposits_of(world):
    """Yield the deposits with a reference that the journal has and the chain has not lost."""
    catalog = world.venue.catalog
    for row, attachment in world.entries:
        evidence = decode(attachment)
        if not isinstance(evidence, DepositEvidence) or evidence.tx_hash in world.lost:
            continue
        if (evidence.tx_hash, int(row["amount"])) in world.replaced:
            continue
        if evidence.ref != bytes(32):
            yield DepositSeen(
                evidence.tx_hash,
                catalog.address_of(int(row["account"])),
                catalog.tokens[int(row["token"])].address,
                int(row["amount"]),
                evidence.ref,
                evidence.block_number,
                evidence.tx_hash not in world.shallow,
            )


def swept_away(world, address, token):
    """Return the pips of sweeps that left the chain with what they had swept; a sweep that left it
    alone is sent again."""
    of_token = world.venue.catalog.token_by_address(token)
    paid = sum(
        one.raw_amount
        for one in world.transfers
        if (one.to, one.token) == (address, token) and one.tx_hash in world.lost
    )
    swept = sum(
        pips
        for left, _, _, pips in world.sweeps
        if (left.sender, left.token) == (address, token) and left.tx_hash in world.lost
    )
    return min(of_token.pips_of(paid), swept)
