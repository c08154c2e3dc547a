"""How fast: the engine by its phases, the whole command, and the reference program's way."""
