"""How the bundled weights were made: losses, training, distillation, architecture search."""
