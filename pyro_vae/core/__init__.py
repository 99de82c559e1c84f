"""Contracts of the components, declarations, and errors; no component is defined here."""
