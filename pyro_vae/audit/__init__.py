"""The audit, exact evidence and scores: what makes a number here one to be trusted."""
