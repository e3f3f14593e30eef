"""A training step against PyTorch eager: the same model, batch and recipe, both sides in turn.

Each side is a process of its own, held to as many cores as it has threads, that takes a few steps when asked. PyTorch
stays out of this project's environment: `AUTOML_PYTORCH` names the interpreter of one that has it. Without it, and with
`--quick`, only our side is measured.
"""

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from automl.executors.processes import environment
from automl.segments import Segment, Workload
from benchmarks.measurement import Result, Side, arguments, interleaved, load, median
from benchmarks.warm import table_of
from search_spaces import attention, decoders, encoders
from search_spaces.seq2seq import Seq2Seq

PEER = Path(__file__).parent / "peers" / "pytorch_step.py"
ROWS, LENGTH, LETTERS = 64, 12, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"
SIZES = {"recurrent": (64, 128, 256), "transformer": (64, 128, 256)}
THREADS = (1, 2)
RUNS, STEPS = 7, 16
GOALS = {64: ">= 1.2", 128: ">= 1.0", 256: ">= 1.0"}


def main() -> None:
    """Measure, or be our side of a measurement."""
    if len(sys.argv) > 1 and sys.argv[1] == "--side":
        answer(sys.argv[2], *map(int, sys.argv[3:]))
        return
    options = arguments(__doc__ or "")
    before, peer = load(), os.environ.get("AUTOML_PYTORCH")
    cases = [(f, s, t) for t in THREADS for f, sizes in SIZES.items() for s in sizes]
    found: dict[str, float] = {}
    for case in cases[:1] if options.quick else cases:
        found.update(compared(*case, None if options.quick else peer, 2 if options.quick else RUNS))
    Result(
        name="step",
        ratios=ratios(found),
        measured={f"{name}_milliseconds": value for name, value in found.items()},
        goals={name: GOALS[int(name.split("_")[1])] for name in found if name.endswith("1_thread")},
        load=(before, load()),
    ).show(as_json=options.json)


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Return how many times longer PyTorch takes, by elapsed and by processor time."""
    peers = {name: name.replace("thread", "thread_pytorch") for name in found}
    return {name: found[peer] / found[name] for name, peer in peers.items() if peer in found and peer != name}


def compared(family: str, size: int, threads: int, peer: str | None, runs: int) -> dict[str, float]:
    """Return the milliseconds of a step of each side, by name."""
    name = f"{family}_{size}_{threads}_thread"
    ours = [sys.executable, "-m", "benchmarks.step", "--side", family, str(size), str(threads)]
    theirs = [peer, str(PEER), family, *map(str, (size, ROWS, LENGTH, len(LETTERS) + 4, threads))]
    commands = {name: ours} | ({f"{name}_pytorch": theirs} if peer else {})
    sides = {side: Side(command, threads) for side, command in commands.items()}
    try:
        times = interleaved({side: partial(milliseconds, process) for side, process in sides.items()}, runs)
    finally:
        for process in sides.values():
            process.close()
    return {
        f"{side}{kind}": median(value[place] for value in values)
        for side, values in times.items()
        for place, kind in enumerate(("", "_processor"))
    }


def milliseconds(side: Side) -> tuple[float, float]:
    """Let a side take some steps; return the milliseconds of one, and those of its processor."""
    elapsed, processor = map(float, side.ask(str(STEPS)).split())
    return elapsed, processor


def configuration_of(family: str, size: int) -> Seq2Seq:
    """Return what both sides train: one LSTM layer each way and one decoding, or a Transformer of 2 + 2 blocks."""
    if family == "recurrent":
        decoder = decoders.Recurrent("lstm", size, 1, attention.Additive(size))
        return Seq2Seq(encoder=encoders.Recurrent("lstm", size, 1), decoder=decoder)
    heads = attention.MultiHead(4)
    return Seq2Seq(
        encoder=encoders.Transformer(size, 2, 4, heads),
        decoder=decoders.Transformer(size, 2, 4, heads),
    )


def answer(family: str, size: int, threads: int) -> None:
    """Be our side: take as many steps as each line of standard input says, print the milliseconds of one."""
    os.environ.update(environment(Workload("", "", (), threads=threads), os.environ))
    import jax
    import numpy as np

    from automl.data.batching import plan
    from automl.models.parameters import initialise
    from automl.training.course import Course
    from automl.training.executables import model_of, train_program
    from automl.training.sharding import core_mesh, on_all
    from automl.training.signature import signature
    from automl.training.steps import new_state
    from automl.training.trainer import Trainer
    from search_spaces.dials import to_dict

    configuration = configuration_of(family, size)
    with tempfile.TemporaryDirectory(prefix="step-") as scratch:
        table = table_of(Path(scratch) / "data", LETTERS, train=64 * 64, valid=64, seed=0, lengths=(LENGTH - 1,) * 2)
        dataset = Trainer(Workload(str(table), scratch, ("token_error_rate",))).dataset(configuration)
        sizes, order = dataset.table.meta["vocabulary"], plan(dataset.table.split("train"), ROWS, STEPS)
        static = signature(configuration, sizes["source"], sizes["target"], ROWS)
        course = Course(Segment(0, to_dict(configuration), seed=0), configuration, order, 0)
        run = next(order.runs(0, 0))
        state, data = new_state(initialise(model_of(static), 0)), dataset.data
        mesh = core_mesh(threads)
        if mesh is not None:
            state, data = on_all((state, data), mesh)
        program = train_program(static, run.bucket, (type(configuration.optimizer),), threads)
        chunk = jax.device_put(course.chunk(run))
        state, losses = program(state, data, chunk)
        print(sum(int(np.prod(value.shape)) for value in state.parameters.values()), flush=True)
        for _ in sys.stdin:
            begun = time.perf_counter(), time.process_time()
            state, losses = program(state, data, chunk)
            losses.block_until_ready()
            ended = time.perf_counter(), time.process_time()
            print(*(1000 * (end - begin) / STEPS for begin, end in zip(begun, ended, strict=True)), flush=True)


if __name__ == "__main__":
    main()
