"""Contracts of the components, declarations, and errors. Knows nothing of any one kind."""
