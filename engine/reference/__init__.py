"""The engine in plain Python; the oracle the kernels are judged by."""

from engine.reference.machine import Engine

__all__ = ["Engine"]
