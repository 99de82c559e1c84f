"""Reproduces rows of papers' tables from presets that cite them."""
