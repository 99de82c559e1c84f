"""Thin commands over the package; heavy imports wait until a command runs."""
