"""What lies at an address of the fixtures' chain?"""


def lying_in(world, catalog, address, tokens):
    """Return the raw units by token, None where the test lets no node answer."""
    if world.is_chain_away:
        return None
    found = {}
    for token in tokens:
        came = [t.raw_amount for t in world.transfers if (t.to, t.token) == (address, token)]
        swept = catalog.token_by_address(token).raw_of(world.swept[address, token])
        found[token] = sum(came) - swept
    return {token: raw for token, raw in found.items() if raw}
