"""What every estimate of the evidence is held to."""

from __future__ import annotations


def agrees(estimate, evidence):
    """Whether the mean of the estimates is within three Monte Carlo errors of the exact one."""
    gap = (estimate.log_evidence - evidence).mean().abs().item()
    return gap < 3 * estimate.monte_carlo
