"""The audit of the ELBO: each number by independent methods, and a verdict that can fail."""
