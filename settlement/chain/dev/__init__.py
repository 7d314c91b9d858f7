"""A chain on this machine, for sandboxes and tests."""
