"""Can anybody prove what happened, with nobody's help?"""
