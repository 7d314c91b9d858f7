"""Invoices, what arrives for them, and what is sold of it."""
