"""What a configuration costs, counted in plain Python: parameters, floating-point operations, memory."""

from search_spaces.costs.extremes import fewest_and_most_parameters
from search_spaces.costs.memory import decoding_memory, scoring_memory, step_memory
from search_spaces.costs.operations import decoding_operations, forward_operations, step_operations
from search_spaces.costs.weights import parameters, trained
from search_spaces.costs.work import Extent

__all__ = [
    "Extent",
    "decoding_memory",
    "decoding_operations",
    "fewest_and_most_parameters",
    "forward_operations",
    "parameters",
    "scoring_memory",
    "step_memory",
    "step_operations",
    "trained",
]
