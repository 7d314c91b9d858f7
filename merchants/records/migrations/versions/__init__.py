"""One file a version of the schema; `0002` says how to add to it."""
