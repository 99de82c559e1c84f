"""Estimates of the evidence log p(x): by sampling, by annealing, and by quadrature."""
