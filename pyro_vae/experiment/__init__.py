"""The declaration of an experiment, its run folder, presets, and reproduction of papers."""
