"""What has to be done on chain, and how far is it?"""
