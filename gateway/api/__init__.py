"""How is the exchange spoken to by programs? One folder a dialect."""
