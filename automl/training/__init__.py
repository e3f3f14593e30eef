"""Training: one trial from one step to a later one."""
