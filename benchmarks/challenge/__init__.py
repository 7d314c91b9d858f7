"""The public matching engine challenge, answered with the kernels of ``engine.core``."""
