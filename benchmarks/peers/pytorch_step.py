"""Training steps in PyTorch eager: reads how many to take from standard input, prints milliseconds a step.

Arguments: family, size, rows, length, vocabulary, threads. Imports nothing of automl.
"""

import sys
import time

import torch
from pytorch_models import RecurrentSeq2Seq, TransformerSeq2Seq, train_step


def main() -> None:
    """Answer each line of standard input."""
    family, (size, rows, length, vocabulary, threads) = sys.argv[1], map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    recurrent = family == "recurrent"
    model = RecurrentSeq2Seq(vocabulary, size) if recurrent else TransformerSeq2Seq(vocabulary, size, (2, 2), 4, 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    source, target = (torch.randint(4, vocabulary, (rows, length)) for _ in range(2))
    inputs = torch.cat([torch.ones(rows, 1, dtype=torch.long), target[:, :-1]], 1)
    train_step(model, optimizer, (source, inputs, target))
    print(sum(parameter.numel() for parameter in model.parameters()), flush=True)
    for line in sys.stdin:
        begun = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            float(train_step(model, optimizer, (source, inputs, target)))
        ended = time.perf_counter(), time.process_time()
        print(*(1000 * (end - begin) / int(line) for begin, end in zip(begun, ended, strict=True)), flush=True)


if __name__ == "__main__":
    main()
