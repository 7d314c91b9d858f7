"""A dialect in the shape of Binance Spot v3, for the tools that traders already have."""
