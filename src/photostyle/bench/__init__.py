"""Measures speed: the engine by its phases, whole commands, and the reference implementation."""
