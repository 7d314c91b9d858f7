"""What orders commands, keeps them and applies them?"""
