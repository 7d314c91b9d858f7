"""The only place that knows web3."""
