"""The native dialect over WebSocket."""
