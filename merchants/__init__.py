"""Invoices, checkout, conversion and webhooks."""
