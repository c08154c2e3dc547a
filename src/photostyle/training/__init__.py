"""Training of networks: losses, distillation, supernet and architecture search."""
