"""Who is it, what may he do, and is it really he who asks for this?"""
