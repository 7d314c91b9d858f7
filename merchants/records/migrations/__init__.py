"""How do rows of an earlier version become rows of this one?"""
