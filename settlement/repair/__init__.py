"""What is done about a batch, a trade or a payment that the chain refuses?"""
