"""How the bundled weights were made: teacher, data, losses, the C-step."""
