"""How do invoices look from outside?"""
