"""Distributions and transforms that Pyro lacks, or has in a form that does not fit here."""
