"""Rows of the papers' tables, run again from presets that cite them."""
