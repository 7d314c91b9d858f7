"""How are rows kept on disk, whoever's they are?"""
