"""The engine as compiled kernels over numpy arrays."""

from engine.core.jit import cache_is_warm
from engine.core.machine import Engine, compile_kernels

__all__ = ["Engine", "cache_is_warm", "compile_kernels"]
