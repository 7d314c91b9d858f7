"""The stream: one WebSocket for market data, own orders and trading."""
