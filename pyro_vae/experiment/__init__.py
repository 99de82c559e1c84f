"""The whole declaration: data, model, guide, objective and training; and the folder of a run."""
