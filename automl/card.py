"""The model card of a bundle."""

from collections.abc import Mapping
from typing import Any


def model_card(
    name: str,
    config: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, float]],
    meta: Mapping[str, Any],
    seconds: float,
    warning: str = "",
) -> str:
    """Return the card in Markdown: what the model is, how well it does, how to use it. It quotes no data."""
    encoder, decoder = (config["configuration"][part]["kind"] for part in ("encoder", "decoder"))
    rows = "".join(
        f"| {split} | {metric} | {score:.4g} |\n"
        for split, by_name in scores.items()
        for metric, score in by_name.items()
    )
    splits = ", ".join(f"{split} {counts['rows']:,}" for split, counts in meta["splits"].items())
    return f"""---
library_name: automl-seq2seq
tags: [sequence-to-sequence, {config["kind"]}]
---
# {name}

A {config["kind"].replace("_", "-")} model found by `automl search` in {seconds:,.0f} seconds:
a {encoder} encoder with a {decoder} decoder.

| split | metric | score |
| --- | --- | --- |
{rows}{
        f'''
Take care: {warning}.
'''
        if warning
        else ""
    }
Rows: {splits}. Tokens: {meta["tokens"]["source"]} → {meta["tokens"]["target"]}.
Decoding: {config["decoding"]["method"]}, at most {config["decoding"]["max_length"]} tokens, as for the scores above.

```python
import automl

model = automl.load("path/to/this/folder")
print(model.predict(["raw input"]))
```

The configuration is in `config.json`, the scores in `metrics.json`, the sha256 of every file in `MANIFEST.json`.
"""
