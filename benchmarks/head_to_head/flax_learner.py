"""A learner in Flax: one `jax.jit` a trial, at one shape."""

import time
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.head_to_head.learners import Course, Dials, Scores
from benchmarks.head_to_head.pairs import BATCH, PAD, UNKNOWN, Pairs, Split, batches


class Step(nn.Module):
    """One step of an LSTM decoder with additive attention and input feeding."""

    size: int

    @nn.compact
    def __call__(self, carry: Any, x: Any, memory: Any, keys: Any, bias: Any) -> Any:
        """Take (cell, hidden, context) and an embedded token."""
        state, context = carry
        state, hidden = nn.OptimizedLSTMCell(self.size)(state, jnp.concatenate([x, context], -1))
        scores = nn.Dense(1, use_bias=False)(jnp.tanh(nn.Dense(self.size)(hidden)[:, None] + keys))[..., 0]
        context = jnp.einsum("bs,bsh->bh", jax.nn.softmax(scores + bias), memory)
        return (state, context), jnp.concatenate([hidden, context], -1)


class Seq2Seq(nn.Module):
    """A bidirectional LSTM and an LSTM with additive attention."""

    vocabulary: int
    size: int
    dropout: float

    @nn.compact
    def __call__(self, source: Any, inputs: Any, *, training: bool) -> Any:
        """Return logits after each token of a known target."""
        drop = partial(nn.Dropout(self.dropout), deterministic=not training)
        mask = source != PAD
        x = drop(nn.Embed(self.vocabulary, self.size)(source))
        lengths = mask.sum(1)
        cells = [nn.RNN(nn.OptimizedLSTMCell(self.size)) for _ in range(2)]
        memory = nn.Dense(self.size)(drop(nn.Bidirectional(*cells)(x, seq_lengths=lengths)))
        mean = (memory * mask[..., None]).sum(1) / lengths[:, None]
        begin = jnp.tanh(nn.Dense(self.size)(mean))
        y = drop(nn.Embed(self.vocabulary, self.size)(inputs))
        scan = nn.scan(
            Step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
        )
        keys, bias = nn.Dense(self.size, use_bias=False)(memory), jnp.where(mask, 0.0, -1e9)
        _, found = scan(self.size)(((begin, begin), jnp.zeros_like(begin)), y, memory, keys, bias)
        return nn.Dense(self.vocabulary)(drop(jnp.tanh(nn.Dense(self.size)(found))))


class FlaxLearner:
    """The same recipe as in PyTorch; kinds other than `lstm` are not drawn."""

    def __init__(self, pairs: Pairs, dials: Dials, seed: int) -> None:
        self.pairs, self.dials = pairs, dials
        self.shape = [max(split[side].shape[1] for split in pairs.splits.values()) for side in range(2)]
        self.model = Seq2Seq(max(pairs.vocabularies), dials.size, dials.dropout)
        source, target = (jnp.ones((BATCH, length), int) for length in self.shape)
        self.parameters = self.model.init(jax.random.key(seed), source, target[:, :-1], training=False)
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.inject_hyperparams(optax.adamw)(learning_rate=dials.rate, weight_decay=dials.decay),
        )
        self.state = self.optimizer.init(self.parameters)
        self.key = jax.random.key(seed + 1)
        self._left = iter(())
        self._step, self._missed = jax.jit(self._one, donate_argnums=(0, 1)), jax.jit(self._errors)

    def _one(self, parameters: Any, state: Any, key: Any, source: Any, target: Any, rate: Any) -> Any:
        state[1].hyperparams["learning_rate"] = rate

        def loss(parameters: Any) -> Any:
            logits = self.model.apply(parameters, source, target[:, :-1], training=True, rngs={"dropout": key})
            wanted = jax.nn.one_hot(target[:, 1:], logits.shape[-1])
            wanted = optax.smooth_labels(wanted, self.dials.smoothing)
            mask = target[:, 1:] != PAD
            return (optax.softmax_cross_entropy(logits, wanted) * mask).sum() / jnp.maximum(mask.sum(), 1)

        updates, state = self.optimizer.update(jax.grad(loss)(parameters), state, parameters)
        return optax.apply_updates(parameters, updates), state

    def _errors(self, parameters: Any, source: Any, target: Any) -> Any:
        said = self.model.apply(parameters, source, target[:, :-1], training=False).argmax(2)
        wanted = target[:, 1:]
        return ((said != wanted) | (wanted == UNKNOWN)) & (wanted != PAD)

    def train(self, draw: np.random.Generator, until: float, course: Course) -> None:
        while True:
            batch = next(self._left, None)
            if batch is None:
                self._left = batches(self.pairs.splits["train"], draw)
                continue
            self.key, key = jax.random.split(self.key)
            rate = self.dials.rate * course.factor(time.monotonic())
            self.parameters, self.state = self._step(self.parameters, self.state, key, *self._padded(batch), rate)
            jax.block_until_ready(self.state)
            if time.monotonic() >= until:
                return

    def scores(self, split: str) -> Scores:
        whole = self.pairs.splits[split]
        wrong = missing = 0
        for begin in range(0, len(whole.source), BATCH):
            part = Split(whole.source[begin : begin + BATCH], whole.target[begin : begin + BATCH])
            missed = np.asarray(self._missed(self.parameters, *self._padded(part)))
            wrong, missing = wrong + int(missed.any(1).sum()), missing + int(missed.sum())
        return Scores(wrong / len(whole.source), missing / int((whole.target[:, 1:] != PAD).sum()))

    def _padded(self, batch: Split) -> list[Any]:
        """Return a batch at the one shape; a row of padding has one token of source, and counts nowhere."""
        found = []
        for side, length in zip(batch, self.shape, strict=True):
            array = np.zeros((BATCH, length), np.int32)
            array[: side.shape[0], : side.shape[1]] = side
            found.append(array)
        found[0][batch.source.shape[0] :, 0] = UNKNOWN
        return found
