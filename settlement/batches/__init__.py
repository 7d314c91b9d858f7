"""How does the log become batches?"""
