"""What can be searched, for people and programs to read."""

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from search_spaces.costs import fewest_and_most_parameters
from search_spaces.dials import Choice, Dial, OneOf, Uniform
from search_spaces.presets import PRESETS, preset

VOCABULARY = 100
"""Tokens of each side for which parameters are counted here; every further one adds a vector of its side's size."""


def catalogue(name: str) -> dict[str, Any]:
    """Return a preset as plain JSON values: its dials, the kinds they choose among, and how much they make.

    Raises:
        SpaceError: No preset has that name.
    """
    space = preset(name)
    fewest, most = fewest_and_most_parameters(space, VOCABULARY, VOCABULARY)
    reached = list(space.reached())
    return {
        "preset": name,
        "presets": {key: dict(narrowing) for key, narrowing in PRESETS.items()},
        "configurations": space.size(),
        "parameters": {"vocabulary": VOCABULARY, "fewest": fewest, "most": most},
        "dials": [{"dial": path, "default": space.preferred[path], **_range(space.ranges[path])} for path in reached],
        "kinds": [entry for path in reached for entry in _described(path, space.ranges[path])],
        "without_source": _described("encoder", preset(name, sources=False).ranges["encoder"]),
    }


def printed(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that say the same to people."""
    size = found["parameters"]
    yield f"preset {found['preset']}: {found['configurations']:,} configurations, real-valued dials counted once;"
    yield f"{size['fewest']:,} to {size['most']:,} parameters where source and target have {size['vocabulary']} tokens"
    yield from _tree(found, "", "  ", set())
    for entry in found["without_source"]:
        dial, _, kind = entry["kind"].rpartition(".")
        yield f"  without a source: {dial} = {kind}"
        yield f"    {kind}: {entry['description']}"
    yield "presets ([space] preset, narrowed further by any dial above, by its full path or the end of it):"
    for name, narrowing in found["presets"].items():
        yield f"  {name}: " + (", ".join(f"{dial} = {_listed(left)}" for dial, left in narrowing.items()))


def _tree(found: Mapping[str, Any], prefix: str, indent: str, said: set[tuple[str, ...]]) -> Iterator[str]:
    """Yield the dials below a prefix; a kind that was said before with the same dials is not said again."""
    kinds = {entry["kind"]: entry["description"] for entry in found["kinds"]}
    for entry in found["dials"]:
        path, name = entry["dial"], entry["dial"].removeprefix(prefix)
        if not path.startswith(prefix) or "." in name:
            continue
        words = _words(entry)
        yield f"{indent}{name} = {entry['default']}" + (f"  ({words})" if words != str(entry["default"]) else "")
        again = []
        for kind in entry.get("kinds", ()):
            below = [*_tree(found, f"{path}.{kind}.", indent + "    ", set())]
            whole = (f"{kind}: {kinds[f'{path}.{kind}']}", *(line.strip() for line in below))
            if whole in said:
                again.append(kind)
                continue
            yield f"{indent}  {whole[0]}"
            yield from _tree(found, f"{path}.{kind}.", indent + "    ", said)
            said.add(whole)
        if again:
            yield f"{indent}  {', '.join(again)}: as above"


def _listed(left: Any) -> str:
    return " | ".join(map(str, left)) if isinstance(left, list) else str(left)


def _described(path: str, dial: Dial) -> list[dict[str, str]]:
    kinds = dial.kinds if isinstance(dial, OneOf) else ()
    return [{"kind": f"{path}.{kind.__name__}", "description": description(kind)} for kind in kinds]


def description(kind: type) -> str:
    """Return the first line of a kind's docstring."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _range(dial: Dial) -> dict[str, Any]:
    match dial:
        case Choice(values):
            return {"values": list(values)}
        case Uniform(low, high, log):
            return {"low": low, "high": high, "log": log}
        case OneOf():
            return {"kinds": list(dial.names())}
        case other:
            assert_never(other)


def _words(entry: Mapping[str, Any]) -> str:
    if "low" in entry:
        return f"{entry['low']:g} to {entry['high']:g}" + (", logarithmic" if entry["log"] else "")
    return " | ".join(str(value) for value in entry.get("values", entry.get("kinds")))
