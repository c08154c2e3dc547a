"""Measures the speed of the engine, of whole commands and of the reference implementation."""
