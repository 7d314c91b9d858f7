"""The dialect over WebSocket: market streams, and the request API with a user's own events."""
