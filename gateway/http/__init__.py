"""HTTP itself: the server, who is let in, bodies, problems and metrics."""
