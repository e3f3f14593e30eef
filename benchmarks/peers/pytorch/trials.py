"""Trials in PyTorch eager: each line of standard input names one that was handed over, and is answered by its losses.

    python -m benchmarks.peers.pytorch.trials

A line is `{"folder": …, "place": …, "steps": …, "checked": …}`. The steps are taken with the configuration's dropout
and their time is told; the first of them are then taken anew without dropout, so that losses can be compared.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.layers import PAD, Dropout
from benchmarks.peers.pytorch.models import Seq2Seq
from benchmarks.peers.pytorch.optimizers import optimizer_of
from benchmarks.peers.pytorch.schedules import average_share, learning_rate
from benchmarks.peers.pytorch.weights import Weights


def main() -> None:
    """Answer each line of standard input; the process has one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def answer(folder: str, place: int, steps: int, checked: int) -> dict[str, Any]:
    """Train a configuration; return seconds, processor seconds and losses, or what is not built here."""
    begun = time.monotonic(), time.process_time()
    configuration = json.loads((Path(folder) / f"{place}.json").read_text(encoding="utf-8"))
    weights, batches = (dict(np.load(Path(folder) / f"{place}.{kind}.npz")) for kind in ("weights", "batches"))
    try:
        losses = trained(configuration, weights, batches, steps, Dropout.of(configuration))
    except NotImplementedError as error:
        return {"cannot": str(error)}
    spent = [now - then for now, then in zip((time.monotonic(), time.process_time()), begun, strict=True)]
    without = trained(configuration, weights, batches, checked, Dropout())
    return {"seconds": spent[0], "processor": spent[1], "compiling": 0.0, "losses": losses, "checked": without}


def trained(
    configuration: Mapping[str, Any], weights: Mapping[str, Any], batches: Mapping[str, Any], steps: int, how: Dropout
) -> list[float]:
    """Return the losses of so many steps."""
    model = Seq2Seq(configuration, Weights(weights))
    optimizer = optimizer_of(configuration["optimizer"], model.parameters())
    average = [parameter.detach().clone() for parameter in model.parameters()]
    losses = []
    for number in range(steps):
        loss = loss_of(model, cut(batches, number), how, configuration["label_smoothing"])
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), configuration["clipping"], foreach=True)
        with torch.no_grad():
            rate = configuration["optimizer"]["learning_rate"]
            optimizer.step(learning_rate(rate, configuration["schedule"], number), number)
            share = average_share(configuration["averaging"], number)
            torch._foreach_lerp_(average, list(model.parameters()), share)
        losses.append(float(loss.detach()))
    return losses


def loss_of(model: Seq2Seq, batch: tuple[Tensor, ...], how: Dropout, smoothing: float) -> Tensor:
    """Return the mean loss of a token, in nats."""
    *seen, targets = batch
    logits = model(*seen, how)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing)


def cut(batches: Mapping[str, Any], number: int) -> tuple[Tensor, ...]:
    """Return sources, what these are copied as, inputs and targets of a batch, as long as its longest row."""
    source, target = (int((batches[side][number] != PAD).sum(1).max()) for side in ("source", "targets"))
    longest = {"source": source, "copies": source, "inputs": target, "targets": target}
    return tuple(torch.from_numpy(batches[side][number][:, :most]).long() for side, most in longest.items())


if __name__ == "__main__":
    main()
