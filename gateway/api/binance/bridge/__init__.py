"""The bridge: a program on the trader's own machine that signs what his tools ask for.

It speaks the dialect to them on loopback and to the exchange, holds a session key, and adds to each
order the native one, signed. The exchange never has the key.
"""
