"""Thin commands over the package. Nothing heavy is imported until a command runs."""
