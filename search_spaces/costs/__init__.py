"""What a configuration costs, counted in plain Python: parameters and floating-point operations."""

from search_spaces.costs.operations import decoding_operations, forward_operations, step_operations
from search_spaces.costs.weights import parameters
from search_spaces.costs.work import Extent

__all__ = ["Extent", "decoding_operations", "forward_operations", "parameters", "step_operations"]
