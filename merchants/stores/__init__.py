"""Who are the shops, and what may we do for them?"""
