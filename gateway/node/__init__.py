"""The process that is put together."""
