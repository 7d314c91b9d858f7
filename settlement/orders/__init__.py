"""Which signed orders may enter the log?"""
