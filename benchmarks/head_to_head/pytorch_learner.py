"""A learner in PyTorch eager; runs where PyTorch is installed, without automl."""

import time

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from benchmarks.head_to_head.learners import Course, Dials, Scores
from benchmarks.head_to_head.pairs import PAD, UNKNOWN, Pairs, Split, batches, cut
from benchmarks.peers.pytorch_models import RecurrentSeq2Seq, TransformerSeq2Seq

EVALUATED = 256


class PytorchLearner:
    """A bidirectional LSTM with additive attention, or a Transformer; a fused AdamW."""

    def __init__(self, pairs: Pairs, dials: Dials, seed: int) -> None:
        torch.manual_seed(seed)
        self.pairs, self.dials = pairs, dials
        vocabulary = max(pairs.vocabularies)
        if dials.kind == "lstm":
            self.model: nn.Module = RecurrentSeq2Seq(vocabulary, dials.size)
        else:
            self.model = TransformerSeq2Seq(vocabulary, dials.size, (dials.layers, dials.layers), 4, 4)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dials.dropout
        parameters = self.model.parameters()
        self.optimizer = torch.optim.AdamW(parameters, lr=dials.rate, weight_decay=dials.decay, fused=True)
        self._left = iter(())

    def train(self, draw: np.random.Generator, until: float, course: Course) -> None:
        self.model.train()
        while True:
            batch = next(self._left, None)
            if batch is None:
                self._left = batches(self.pairs.splits["train"], draw)
                continue
            for group in self.optimizer.param_groups:
                group["lr"] = self.dials.rate * course.factor(time.monotonic())
            self._step(batch)
            if time.monotonic() >= until:
                return

    def _step(self, batch: Split) -> None:
        source, target = map(torch.from_numpy, batch)
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(source, target[:, :-1])
        flat = target[:, 1:].flatten()
        F.cross_entropy(logits.flatten(0, 1), flat, ignore_index=PAD, label_smoothing=self.dials.smoothing).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    @torch.inference_mode()
    def scores(self, split: str) -> Scores:
        self.model.eval()
        whole = self.pairs.splits[split]
        order = np.argsort((whole.source != PAD).sum(1), kind="stable")
        wrong = missing = tokens = 0
        for begin in range(0, len(order), EVALUATED):
            source, target = map(torch.from_numpy, cut(whole, order[begin : begin + EVALUATED]))
            missed = (self.model(source, target[:, :-1]).argmax(2) != target[:, 1:]) & (target[:, 1:] != PAD)
            missed |= target[:, 1:] == UNKNOWN
            wrong += int(missed.any(1).sum())
            missing += int(missed.sum())
            tokens += int((target[:, 1:] != PAD).sum())
        return Scores(wrong / len(order), missing / tokens)
