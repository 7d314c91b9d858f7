"""How does a program pay for a resource in one request? The facilitator of x402, version 2."""
