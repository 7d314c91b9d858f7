"""The only place that knows HTTP, WebSocket and the command line."""
