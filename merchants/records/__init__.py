"""What do merchants keep in their database, and in which states?"""
