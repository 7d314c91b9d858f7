"""Batches of trades, verified order by order by a contract, exactly once."""
