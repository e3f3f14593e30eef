"""All kinds of models of preset `base` in PyTorch eager, trained as a good engineer trains them, without automl.

Weights and batches are handed over as arrays, so that both sides have the same losses; a configuration is its JSON.
"""
