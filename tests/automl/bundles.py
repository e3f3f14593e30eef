"""Small winners whose weights are drawn: what they say is of no use, but far from the same for every source."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from automl.bundle import Bundle
from automl.data.tokenizers import Tokenizer
from automl.models.parameters import initialise
from automl.models.seq2seq import Seq2Seq as Module
from automl.weights import together
from search_spaces import attention, decoders, encoders
from search_spaces.dials import to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.tokenizers import Characters

LETTERS = "abcdefgh"
SMALL = Seq2Seq(encoders.Recurrent("gru", 16, 1, True), decoders.Recurrent("gru", 16, 1, attention.Additive(8)))
TRANSFORMER = Seq2Seq(
    encoders.Transformer(16, 1, 2, attention.MultiHead(2)), decoders.Transformer(16, 1, 2, attention.MultiHead(2))
)


@dataclass(frozen=True)
class Drawn:
    """A configuration whose weights are drawn by a seed; `end` is the bias of the end token."""

    configuration: Seq2Seq = SMALL
    seed: int = 0
    end: float = -1.0
    most: int = 12

    def bundle(self, **config: Any) -> Bundle:
        tokenizer = Tokenizer.learn(Characters(), [LETTERS])
        weights = initialise(Module(self.configuration, tokenizer.size, tokenizer.size), self.seed)
        for name in weights:
            if name.endswith(("output.kernel", "embedding.table")):
                weights[name] = (weights[name] * 6).astype(np.float32)
            if name.endswith("output.bias"):
                weights[name][:4] = [-30, -30, self.end, -30]
        described = {
            "kind": "sequence_to_sequence",
            "configuration": to_dict(self.configuration),
            "vocabulary": {"source": tokenizer.size, "target": tokenizer.size},
            "decoding": {"method": "greedy", "max_length": self.most},
            "max_source_length": 30,
            "data": {"source": None, "target": None},
            "metrics": ["sequence_error_rate"],
        }
        return Bundle({**described, **config}, weights, *[tokenizer.to_json()] * 2, {"scores": {}}, "# card\n")

    def with_end(self, end: float) -> "Drawn":
        return replace(self, end=end)


def ensemble(*drawn: Drawn) -> Bundle:
    """A bundle of several models that speak as one."""
    first, *others = (each.bundle() for each in drawn)
    config = {**first.config, "members": [other.config["configuration"] for other in others]}
    return replace(first, config=config, weights=together([each.weights for each in (first, *others)]))
