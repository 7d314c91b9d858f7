"""The story of one sale told as a program, and the actors in it."""
