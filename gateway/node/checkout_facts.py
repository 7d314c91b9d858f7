"""What do all checkouts of a running exchange have in common?

The chain's name, where the vault is, and what its tokens can do beside ERC-20 as the operator says
it and the chain confirms it.
"""

from gateway.node.node import Stack
from gateway.pages.checkout_view import PageFacts
from settlement.chain.token_roads import check_roads
from settlement.protocol.payer_roads import Vault


def facts_of(stack: Stack, network: str) -> PageFacts:
    """Return what checkouts are drawn with; ``network`` is the chain's name as people know it.

    Raises ``DeploymentError`` where a token does not sign as the settings say.
    """
    deployment, settings = stack.deployment, stack.settings
    addresses = {token.symbol: token.address for token in deployment.tokens}
    roads = {
        addresses[symbol]: known
        for symbol, known in settings.token_roads.items()
        if symbol in addresses
    }
    check_roads(stack.chain, roads)
    return PageFacts(
        network=network,
        sandbox=settings.sandbox,
        explorer_url=settings.explorer_url,
        vault=Vault(deployment.chain_id, deployment.exchange, deployment.collector),
        token_roads=roads,
        new_prices=True,
        claim_key=stack.parts.merchants.refunding.refunds.claim_key,
    )
