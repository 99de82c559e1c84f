"""Training: one SVI step, repeated, on whatever device there is."""
