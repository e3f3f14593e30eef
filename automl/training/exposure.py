"""Exposure: how much likelier the secrets of canaries are to a model than others of their form."""

from itertools import accumulate, chain, pairwise

import numpy as np
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.table import Split, TokenTable
from automl.models.parameters import Parameters
from automl.segments import Exposure
from automl.training.arrays import on_device
from automl.training.evaluation import all_rows, flat, forced_sums
from automl.training.programs import Programs
from automl.training.signature import Signature


def exposures(
    table: TokenTable, programs: Programs, signature: Signature, parameters: Parameters
) -> tuple[Exposure, ...]:
    """Rank the secret of each canary of train among others, all of them asked for by a source of the canary."""
    planted = table.corpus.canaries
    if planted is None:
        return ()
    secrets = [[canary.secret, *planted.others(place)] for place, canary in enumerate(planted.each)]
    asked = [canary.sources[0] for canary, own in zip(planted.each, secrets, strict=True) for _ in own]
    sources = table.source_tokenizer.encode_batch(asked)
    targets = table.target_tokenizer.encode_batch([*chain.from_iterable(secrets)])
    rows = Split(*flat(sources), *flat(targets), rows=len(asked))
    shape = Bucket(max(map(len, sources)), max(map(len, targets)) + 1)
    place = (on_device(rows, table.copies), all_rows(rows.rows), shape)
    sums = forced_sums(programs, signature, parameters, *place)
    loss, right, tokens = (np.asarray(each)[: rows.rows] for each in (sums.loss, sums.right, sums.tokens))
    bounds = pairwise(accumulate(map(len, secrets), initial=0))
    return tuple(
        Exposure(canary.copies, *exposure(loss[first:last]), said=bool(right[first] == tokens[first]))
        for canary, (first, last) in zip(planted.each, bounds, strict=True)
    )


def exposure(losses: NDArray[np.floating]) -> tuple[float, float]:
    """Return the exposure of the first of some secrets by their losses, and the most that it could be, in bits."""
    own, others = losses[0], losses[1:]
    rank = 1 + (others < own).sum() + (others == own).sum() / 2
    most = float(np.log2(len(losses)))
    return most - float(np.log2(rank)), most
