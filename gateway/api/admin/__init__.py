"""What operators ask of a running exchange, on a port of its own."""
