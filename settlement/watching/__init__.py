"""What has happened on chain?"""
