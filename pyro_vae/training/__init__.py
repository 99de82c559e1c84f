"""Training by SVI: the loop, its settings, its result, learning-rate schedules."""
