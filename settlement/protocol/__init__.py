"""What is signed, hashed and sent: the words that wallets, contract and log share."""
