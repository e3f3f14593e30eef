"""Many different architectures for a few steps each: ours, Optuna with Flax and one jit a trial, and PyTorch eager."""
