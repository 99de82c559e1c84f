"""Times a training step of this package and of its peers, side by side in one run."""
