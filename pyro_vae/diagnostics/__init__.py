"""How good q(z|x) is: against the best of its family, and against the posterior itself."""
