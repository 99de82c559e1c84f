"""Sweeps: many trainings of one declaration over a search space."""
