"""The model card of a bundle: what the model is, how well it does, what it cost, what it remembers, how to use it.

It is a card of the Hugging Face hub (Mitchell et al., 2019, for what belongs on one), with scores as a `model-index`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

UNKNOWN = "unknown"
PIPELINES = {
    "translation": "translation",
    "summarization": "summarization",
    "text_classification": "text-classification",
    "generation": "text-generation",
    "dialogue": "text-generation",
}
"""Kind of task → what the hub calls it."""


@dataclass(frozen=True)
class Account:
    """What a card says.

    Attributes:
        config: `config.json` of the bundle.
        scores: By split and metric.
        deviations: Standard deviation of a score by chance, by split and metric, where it is known.
        signatures: How packages have scored.
        splits: Counts of each split: `rows`, `rows_of_file`.
        dropped: Rows left out, by split and reason.
        digest: Sha256 of the data.
        tokens: Kind of tokens and size of the vocabulary, by side.
        parameters: Of the model.
        trained: How many were trained, where these were not the model's own parameters, or not all of them.
        seconds: That the search took.
        budget: Its limits.
        trials: Number of trials by state.
        space: What was searched, a line each.
        versions: Of the packages that made it.
        licence: Of the model, as its owner says.
        membership: How well rows of train are told from others (see `automl.segments.Membership`).
        exposure: How exposed each canary is that was planted in train (see `automl.segments.Exposure`).
        says_texts: Whether it says texts, of which a secret could be made.
        members: The families of the further models of an ensemble, and `single` how the best does alone.
        spread: How it did under other seeds, where it was trained again: `metric`, `others`, `mean`, `deviation`.
        finishes: How the best trial, the best together and what was distilled do, and `finish` which of them this is.
        warning: What is to be known before the model is relied on.
        reads: Whether it reads a source.
        samples: Pairs of the data, of a task that allows to show them.
        privacy: What was promised and spent, where it was trained privately (see `automl.privacy.Terms.account`).
        is_begun_elsewhere: Whether training began with parameters of another.
        seen: Sha256 of files that it has learnt from without noise.
        origins: Private searches that these parameters owe something to: `search`, `epsilon`, `delta`.
    """

    name: str
    config: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float]]
    deviations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    digest: str = ""
    tokens: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    parameters: int | None = None
    trained: int | None = None
    seconds: float = 0.0
    budget: Mapping[str, Any] = field(default_factory=dict)
    trials: Mapping[str, int] = field(default_factory=dict)
    space: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    membership: Mapping[str, float] | None = None
    exposure: Sequence[Mapping[str, Any]] = ()
    says_texts: bool = True
    members: Sequence[str] = ()
    single: Mapping[str, Any] | None = None
    spread: Mapping[str, Any] | None = None
    finish: str | None = None
    finishes: Mapping[str, Any] | None = None
    warning: str = ""
    reads: bool = True
    samples: Sequence[tuple[str, str]] = ()
    privacy: Mapping[str, Any] | None = None
    is_begun_elsewhere: bool = False
    seen: Sequence[str] = ()
    origins: Sequence[Mapping[str, Any]] = ()


def model_card(account: Account) -> str:
    """Return the card in Markdown, its data in front as YAML. It quotes no data but the samples."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    kind = account.config["kind"]
    pipeline = PIPELINES.get(kind, "text2text-generation")
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=account.name,
            dataset_name=account.name,
            dataset_split=split,
            dataset_revision=account.digest or None,
            metric_type=metric,
            metric_name=metric,
            metric_value=score,
            metric_config=account.signatures.get(metric),
        )
        for split, metric, score in _scored(account)
    ]
    data = ModelCardData(
        library_name="automl-seq2seq",
        license=account.licence or UNKNOWN,
        tags=["sequence-to-sequence", kind],
        pipeline_tag=pipeline,
        model_name=account.name,
        eval_results=results or None,
    )
    body = "\n\n".join(part for part in _parts(account) if part)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n{body}\n"))


def _scored(account: Account) -> Iterator[tuple[str, str, float]]:
    for split, scores in account.scores.items():
        yield from ((split, name, score) for name, score in scores.items() if name != "deviation")


def _parts(account: Account) -> Iterator[str]:
    config = account.config
    encoder, decoder = (config["configuration"][part]["kind"] for part in ("encoder", "decoder"))
    others = (
        f", and with it {', '.join(account.members)}: their log-probabilities are averaged" if account.members else ""
    )
    size = "" if account.parameters is None else f", {account.parameters:,} parameters"
    size += "" if account.trained is None else f" {_tuned(account.trained, config['configuration'])}"
    yield f"# {account.name}"
    yield (
        f"A {config['kind'].replace('_', '-')} model found by `automl search` in {account.seconds:,.0f} seconds:\n"
        f"a {encoder} encoder with a {decoder} decoder{others}{size}."
    )
    yield f"Take care: {account.warning}." if account.warning else ""
    yield from _use(account)
    yield from _quality(account)
    yield from _making(account)
    yield from _remembered(account)
    files = "The configuration is in `config.json`, the scores in `metrics.json`"
    yield f"{files}, the sha256 of every file in `MANIFEST.json`."


def _tuned(trained: int, configuration: Mapping[str, Any]) -> str:
    """Say what was trained of a model that was fine-tuned in part."""
    if configuration["tuned"] == "lora":
        return (
            f"({trained:,} more were trained and added to its matrices, by LoRA of rank {configuration['lora_rank']})"
        )
    return f"({trained:,} of them trained, those of the encoder as they were)"


def _use(account: Account) -> Iterator[str]:
    decoding = account.config["decoding"]
    call = 'predict(["raw input"])' if account.reads else "generate(count=1)"
    yield "## Use"
    yield f'```python\nimport automl\n\nmodel = automl.load("path/to/this/folder")\nprint(model.{call})\n```'
    longest = account.config["max_source_length"]
    yield (
        f"It decodes by {decoding['method']}, at most {decoding['max_length']:,} tokens for sources as long as\n"
        "in train, as for the scores below. "
        f"Sources of more than {longest:,} tokens are refused. What is not in the vocabulary is read as unknown and\n"
        "never said. It was fitted to one data set: on other data, expect other scores."
    )
    if account.samples:
        yield "Some of the data, which the task allows to be shown:"
        yield "\n".join(f"    {_line(source)} → {_line(target)}" for source, target in account.samples)


def _quality(account: Account) -> Iterator[str]:
    rows = []
    for split, name, score in _scored(account):
        spread = account.deviations.get(split, {}).get(name)
        rows.append(f"| {split} | {name} | {score:.4g} | {'' if spread is None else f'{spread:.2g}'} |")
    yield "## Scores"
    yield "\n".join(["| split | metric | score | ± |", "| --- | --- | --- | --- |", *rows])
    yield (
        "± is one standard deviation over rows drawn at random. The search chose by valid; test was scored once,\n"
        "at its end."
    )
    yield "\n".join(f"- {name}: `{signature}`" for name, signature in account.signatures.items())
    if account.single is not None:
        alone = account.single
        found = (("valid", alone["scores"]), ("test", alone["test_scores"]))
        names = account.config.get("metrics", ())
        said = [f"{name} {of[name]:.4g} on {split}" for split, of in found for name in names if name in of]
        yield f"The best of them alone, with {alone['parameters'] or 0:,} parameters: {', '.join(said)}."
    if account.finishes is not None:
        yield from _finishes(account, account.finishes)
    if account.spread is not None:
        yield _under_seeds(account.spread)


def _under_seeds(spread: Mapping[str, Any]) -> str:
    count, deviation = len(spread["others"]), spread["deviation"]
    about = "" if deviation is None else f" ± {deviation:.2g}"
    seeds = f"{count} other seed{'' if count == 1 else 's'}"
    return f"The best of them trained again under {seeds}: {spread['metric']} {spread['mean']:.4g}{about} on valid."


FINISHES = {
    "single": "the best trial",
    "ensemble": "it with others, their log-probabilities averaged",
    "distilled": "a model of its shape, distilled from what these say of train",
}


def _finishes(account: Account, finishes: Mapping[str, Any]) -> Iterator[str]:
    names = account.config.get("metrics", ())
    yield f"Tried at the end, of which this is {FINISHES[account.finish or 'single']}:"
    columns = [f"{name}, {split}" for split in ("valid", "test") for name in names]
    rows = [f"| model | parameters | {' | '.join(columns)} |", "| --- " * (2 + len(columns)) + "|"]
    for finish, found in finishes.items():
        scores = [of.get(name) for of in (found["scores"], found["test_scores"]) for name in names]
        shown = " | ".join("" if score is None else f"{score:.4g}" for score in scores)
        rows.append(f"| {FINISHES[finish]} | {found['parameters'] or 0:,} | {shown} |")
    yield "\n".join(rows)


def _making(account: Account) -> Iterator[str]:
    yield "## Data"
    splits = [f"{split} {counts['rows']:,}" for split, counts in account.splits.items()]
    dropped = sum(sum(reasons.values()) for reasons in account.dropped.values())
    digest = f" Sha256 of the data: `{account.digest}`." if account.digest else ""
    yield f"Rows: {', '.join(splits)}; {dropped:,} dropped.{digest}"
    sides = [f"{side} {kind} ({size:,})" for side, (kind, size) in account.tokens.items()]
    yield f"Tokens: {', '.join(sides)}. The vocabularies are part of the bundle: whatever symbols they hold, it holds."
    yield "## Search"
    budget = ", ".join(f"{name} {value}" for name, value in account.budget.items() if value is not None) or "none"
    trials = ", ".join(f"{count:,} {state}" for state, count in account.trials.items()) or "none"
    yield f"Budget: {budget}. Spent: {account.seconds:,.1f} seconds. Trials: {trials}."
    yield "\n".join(f"- {line}" for line in account.space)
    yield "Made with " + ", ".join(f"{name} {version}" for name, version in account.versions.items()) + "."


def _remembered(account: Account) -> Iterator[str]:
    yield "## Memory of the training data"
    found = account.membership
    if account.privacy is not None:
        yield from _private(account, account.privacy)
        return
    if found is None:
        yield "Not measured: the search ended before it could be."
    else:
        yield (
            f"By its loss, a row of train is told from one of valid in {found['told']:.1%} of pairs (50 % where\n"
            f"nothing is remembered; {found['rows']:,} rows of each): {found['train']:.4g} nats a token on train, "
            f"{found['valid']:.4g} on valid."
        )
    yield from _exposed(account)
    yield "It was trained without differential privacy: do not share it where its training data may not be shared."
    yield "\n".join(
        f"Training began with a model of the private search `{_line(str(each['search']))}`, whose pairs it may still "
        f"hold within epsilon {each['epsilon']} at delta {each['delta']}."
        for each in account.origins
    )


def _private(account: Account, terms: Mapping[str, Any]) -> Iterator[str]:
    spent = terms["epsilon_spent"]
    why = "since their number may have depended on the data, the promise is what counts."
    taken = "" if spent is None else f"\nThe steps that were taken come to epsilon {spent:.4g}; {why}"
    yield (
        f"It was trained with differential privacy. The unit is {terms['unit']}: whether any single one was there\n"
        "changes the chance of whatever the search could have found by a factor of e to the power of epsilon at most,\n"
        f"up to delta. The whole search, all of its trials together, is within epsilon {terms['epsilon']:g}\n"
        f"at delta {terms['delta']:.3g}. Of somebody with several pairs in train, each adds as much.{taken}"
    )
    clipping = account.config["configuration"].get("clipping")
    norm = "" if clipping is None else f" to a norm of {clipping:.3g}"
    yield (
        f"In each of {terms['charged']:,} steps (at most {terms['steps']:,}) a pair was drawn with probability "
        f"{terms['sampling_rate']:.4g}\n(Poisson sampling, {terms['batch']:,} of {terms['rows']:,} in the mean), its "
        f"gradient was clipped{norm}, and Gaussian noise of {terms['noise_multiplier']:.4g} times\n"
        "that norm was added to the sum. The steps are composed by privacy loss distributions (dp-accounting)."
    )
    if not terms["secret"]:
        yield (
            "**The noise follows from the seed** (`--deterministic`): against whoever knows or guesses that,\n"
            "there is no guarantee."
        )
    yield "What else has seen the data:"
    begun = [_begun(account.seen)] if account.is_begun_elsewhere else []
    yield "\n".join(f"- {line}" for line in [*terms["saw"], *begun])
    yield "How much it remembers of the rows of train was not measured: that would read them without noise."
    yield from _exposed(account)


def _exposed(account: Account) -> Iterator[str]:
    """Say how exposed canaries are, by the number of pairs of train that say them."""
    if not account.exposure:
        if account.says_texts:
            yield "What it remembers of a single pair was not measured: no canary stood in train (`[data] canaries`)."
        return
    most = max(each["most"] for each in account.exposure)
    yield (
        "Secrets that were drawn at random stood in train as well. The exposure of one (Carlini et al., 2019) says by\n"
        f"how many bits it is likelier to the model than secrets that stand nowhere: {most:.3g} at most as measured\n"
        "here, 1.4 in the mean where nothing is remembered. A pair that nothing else in train makes likely is\n"
        "remembered as they are."
    )
    rows = ["| pairs that say it | secrets | exposure in bits: mean (least to most) | said word for word |"]
    rows.append("| --- " * 4 + "|")
    for copies in sorted({each["copies"] for each in account.exposure}):
        some = [each for each in account.exposure if each["copies"] == copies]
        bits, said = [each["bits"] for each in some], sum(each["said"] for each in some)
        spread = f"{mean(bits):.1f} ({min(bits):.1f} to {max(bits):.1f})"
        rows.append(f"| {copies or 'none'} | {len(some)} | {spread} | {said} of {len(some)} |")
    yield "\n".join(rows)


def _begun(seen: Sequence[str]) -> str:
    files = ", ".join(f"`{digest}`" for digest in seen)
    return (
        "what training began from, which the task calls public and nobody has looked through: it has learnt without "
        f"noise from files of sha256 {files}; a pair of train that stands there too is not protected"
    )


def _line(text: str) -> str:
    return " ".join(text.split())
