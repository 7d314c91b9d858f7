"""What does a shop give to its accountant?"""
