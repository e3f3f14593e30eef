"""Configurations of every kind, and models that are large enough and of enough kinds to be any of them."""

from search_spaces import attention, decoders, embeddings, encoders, outputs
from search_spaces.seq2seq import Seq2Seq

heads = attention.MultiHead
COPYING = outputs.PointerGenerator()
SOFTMAX = outputs.Softmax()

RECURRENT = {
    "lstm, both directions; additive": Seq2Seq(
        encoders.Recurrent("lstm", 6, 1, True), decoders.Recurrent("lstm", 8, 1, attention.Additive(6))
    ),
    "gru, one direction, residual; copying, several heads": Seq2Seq(
        encoders.Recurrent("gru", 8, 2, False, True), decoders.Recurrent("gru", 8, 2, heads(2)), COPYING
    ),
    "minGRU, residual; dot, tied": Seq2Seq(
        encoders.Recurrent("mingru", 4, 2, True, True), decoders.Recurrent("lstm", 8, 1, attention.Dot()), SOFTMAX, True
    ),
    "convolution, learned positions; general, copying, tied": Seq2Seq(
        encoders.Convolution(8, 1, 3, embeddings.Learned(4)),
        decoders.Recurrent("gru", 6, 1, attention.General()),
        COPYING,
        True,
    ),
    "convolution without positions; concat": Seq2Seq(
        encoders.Convolution(6, 1, 5, embeddings.NoPositions(), "rms"),
        decoders.Recurrent("lstm", 6, 1, attention.Concat(4)),
    ),
    "one layer; local": Seq2Seq(
        encoders.Recurrent("lstm", 6, 1, True), decoders.Recurrent("gru", 8, 1, attention.Local(1))
    ),
}
TRANSFORMERS = {
    "sinusoidal; none; layer norm first, GELU": Seq2Seq(
        encoders.Transformer(8, 1, 2, heads(2)), decoders.Transformer(8, 1, 2, heads(2), embeddings.NoPositions())
    ),
    "rotary, grouped, RMS norm last, SwiGLU, window; copying, tied": Seq2Seq(
        encoders.Transformer(8, 1, 2, heads(4, 2), embeddings.Rotary(), "rms", False, "swiglu", 1),
        decoders.Transformer(12, 1, 2, heads(2, 2), embeddings.Rotary(), "rms", False, "swiglu", 2),
        COPYING,
        True,
    ),
    "learned; ALiBi; ReLU": Seq2Seq(
        encoders.Transformer(8, 1, 4, heads(2), embeddings.Learned(8), "layer", False, "relu"),
        decoders.Transformer(8, 1, 2, heads(4, 4), embeddings.ALiBi(), "rms", True, "relu"),
    ),
    "relative bias; tied": Seq2Seq(
        encoders.Transformer(12, 1, 2, heads(1), embeddings.RelativeBias(8), "rms"),
        decoders.Transformer(6, 1, 4, heads(1), embeddings.RelativeBias(8), "layer", True, "swiglu"),
        SOFTMAX,
        True,
    ),
}
SIMPLE = {
    "convolution; RMS norm last, SwiGLU": Seq2Seq(
        encoders.Convolution(8, 1, 3), decoders.SimpleRecurrent(8, 1, 2, heads(2), "rms", False, "swiglu")
    ),
    "lstm, residual; layer norm first, grouped, copying": Seq2Seq(
        encoders.Recurrent("lstm", 4, 2, True, True),
        decoders.SimpleRecurrent(8, 1, 2, heads(4, 2), "layer", True, "relu"),
        COPYING,
    ),
}
ALONE = {
    "recurrent": Seq2Seq(encoders.Identity(), decoders.Recurrent("gru", 8, 1)),
    "transformer": Seq2Seq(encoders.Identity(), decoders.Transformer(8, 1, 2, heads(2), embeddings.ALiBi())),
    "simple recurrent": Seq2Seq(encoders.Identity(), decoders.SimpleRecurrent(8, 1, 2, heads(2)), SOFTMAX, True),
}
LARGE_RECURRENT = encoders.Recurrent("lstm", 12, 3, True)
LARGE_CONVOLUTION = encoders.Convolution(12, 2, 9, embeddings.Learned(16))
LARGER: dict[str, tuple[dict[str, Seq2Seq], list[Seq2Seq]]] = {
    "recurrent": (
        RECURRENT,
        [
            Seq2Seq(LARGE_RECURRENT, decoders.Recurrent("lstm", 12, 3, attention.Additive(12))),
            Seq2Seq(LARGE_CONVOLUTION, decoders.Recurrent("lstm", 12, 3, attention.Concat(8))),
        ],
    ),
    "transformer": (
        TRANSFORMERS,
        [
            Seq2Seq(
                encoders.Transformer(24, 2, 4, heads(8), embeddings.Learned(16)),
                decoders.Transformer(24, 2, 4, heads(8), embeddings.RelativeBias(16)),
            ),
            Seq2Seq(
                encoders.Transformer(24, 2, 4, heads(8), embeddings.RelativeBias(16)),
                decoders.Transformer(24, 2, 4, heads(8), embeddings.Sinusoidal()),
            ),
        ],
    ),
    "simple recurrent": (
        SIMPLE,
        [
            Seq2Seq(LARGE_RECURRENT, decoders.SimpleRecurrent(12, 2, 4, heads(6))),
            Seq2Seq(LARGE_CONVOLUTION, decoders.SimpleRecurrent(12, 2, 4, heads(6))),
        ],
    ),
    "alone": (
        ALONE,
        [
            Seq2Seq(encoders.Identity(), decoders.Recurrent("lstm", 12, 2)),
            Seq2Seq(encoders.Identity(), decoders.Transformer(12, 2, 4, heads(4), embeddings.Rotary())),
            Seq2Seq(encoders.Identity(), decoders.SimpleRecurrent(12, 2, 4, heads(4))),
        ],
    ),
}
CASES = [(family, name) for family, (cases, _) in LARGER.items() for name in cases]
