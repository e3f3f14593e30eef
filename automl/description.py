"""Description: what a bundle's `config.json` says of its model, checked before anything is built by it."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

from automl.errors import InputError
from automl.lengths import MOST, Limits, constant
from search_spaces.costs import parameters
from search_spaces.decoding import Decoding, decoding_from
from search_spaces.dials import Choice, OneOf, SpaceError, Uniform, from_dict
from search_spaces.seq2seq import Seq2Seq

MOST_PARAMETERS = 2**30
MOST_LENGTH = 2**20
MOST_VOCABULARY = 2**17
MOST_NAMES = 64
MOST_MEMBERS = 16
"""Models of an ensemble."""
KINDS = (
    "image_classification",
    "object_detection",
    "generation",
    "dialogue",
    "text_classification",
    "summarization",
    "translation",
    "sequence_to_sequence",
)
"""Those of `automl.tasks.TASKS`, named here because these take their time to import."""
BEYOND = 16
"""How many times as large as the largest value of a dial a number may be that no search of this version would try."""

T = TypeVar("T")


@dataclass(frozen=True)
class Description:
    """A model and how it decodes.

    Attributes:
        configuration: What it is; of an ensemble, its first member.
        source_vocabulary: Number of source tokens, the special ones included.
        target_vocabulary: Number of target tokens, the special ones included.
        decoding: How it decodes unless told otherwise.
        limits: Most target tokens, by the length of a source.
        longest: Most source tokens that it reads.
        parameters: How many it has.
        others: The further members of an ensemble.
    """

    configuration: Seq2Seq
    source_vocabulary: int
    target_vocabulary: int
    decoding: Decoding
    limits: Limits
    longest: int
    parameters: int
    others: tuple[Seq2Seq, ...] = ()


def described(config: Mapping[str, Any]) -> Description:
    """Return what a `config.json` describes.

    Raises:
        InputError: A kind is unknown, or a number is missing, of another type or out of all proportion.
    """
    try:
        _check_task(config)
        configuration, *others = members_of(config)
        vocabulary, decoding = _mapping(config, "vocabulary"), _mapping(config, "decoding")
        source, target = (_whole(vocabulary, side, MOST_VOCABULARY) for side in ("source", "target"))
        size = sum(parameters(each, source, target) for each in (configuration, *others))
        if size > MOST_PARAMETERS:
            raise SpaceError(f"{size:,} parameters; {MOST_PARAMETERS:,} at most")
        return Description(
            configuration,
            source,
            target,
            decoding_from(decoding),
            _limits(decoding),
            _whole(config, "max_source_length", MOST_LENGTH),
            size,
            tuple(others),
        )
    except (SpaceError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"config.json: describes no model that this version knows ({error})") from error


def _check_task(config: Mapping[str, Any]) -> None:
    """Check what says where a model comes from: the kind of its task, its metrics, its columns.

    Raises:
        SpaceError: The kind is unknown, or the others are no list of names and no object.
    """
    kind, metrics, columns = (config.get(name) for name in ("kind", "metrics", "data"))
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpaceError(f"kind is {_shown(kind)}; it is one of {', '.join(KINDS)}")
    if not isinstance(metrics, list) or len(metrics) > MOST_NAMES or not all(isinstance(name, str) for name in metrics):
        raise SpaceError("metrics is no list of names")
    if not isinstance(columns, Mapping):
        raise SpaceError("data is no object")


def _limits(decoding: Mapping[str, Any]) -> Limits:
    most, lengths = _whole(decoding, "max_length", MOST), decoding.get("lengths")
    return constant(most) if lengths is None else Limits.from_mapping(_mapping(decoding, "lengths"), MOST_LENGTH)


def described_columns(config: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the columns that a source has; one, however it is called, where none is named.

    Raises:
        InputError: They are no names or numbers.
    """
    data = config.get("data")
    named = data.get("source") if isinstance(data, Mapping) else None
    columns = tuple(named) if isinstance(named, list) else ("source",) if named is None else (named,)
    if not columns or any(type(column) not in (str, int) for column in columns):
        raise InputError(f"config.json: data.source is {_shown(named)}; it names one column or a list of them")
    return columns


def _members(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the configuration of a model, or of each member of an ensemble."""
    others = config.get("members", [])
    if not isinstance(others, list) or len(others) >= MOST_MEMBERS or not all(isinstance(o, Mapping) for o in others):
        raise SpaceError(f"members is no list of fewer than {MOST_MEMBERS} objects")
    return [_mapping(config, "configuration"), *others]


def members_of(config: Mapping[str, Any]) -> tuple[Seq2Seq, ...]:
    """Return the configurations of the members of the model of a `config.json`; most have one.

    Raises:
        SpaceError: One is of no model that this version knows, or out of all proportion.
    """
    return tuple(map(_configuration, _members(config)))


def _configuration(mapping: Mapping[str, Any]) -> Seq2Seq:
    configuration = from_dict(Seq2Seq, mapping)
    for wrong in implausible(configuration, "configuration"):
        raise SpaceError(wrong)
    return configuration


def implausible(configuration: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with the values of a configuration: another type than the dial's, or out of proportion."""
    heads, size = getattr(getattr(configuration, "attention", None), "num_heads", 1), _width(configuration)
    if type(heads) is int and heads > 0 and size % heads:
        yield f"{path} is of {size} numbers, which {heads} heads cannot share"
    for item in dataclasses.fields(configuration):
        value, dial, where = getattr(configuration, item.name), item.metadata["dial"], f"{path}.{item.name}"
        match dial:
            case OneOf():
                yield from implausible(value, where)
            case Choice(values):
                if not _like(value, values):
                    yield f"{where} is {_shown(value)}"
            case Uniform():
                if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value <= 1e6:
                    yield f"{where} is {_shown(value)}"
            case other:
                assert_never(other)


def _width(configuration: Any) -> int:
    """Return the width of a part; 0 where it has none, or one that is no number."""
    width = getattr(configuration, "model_size", getattr(configuration, "hidden_size", 0))
    return width if type(width) is int else 0


def _like(value: Any, values: tuple[Any, ...]) -> bool:
    if type(value) not in {type(each) for each in values}:
        return False
    if isinstance(value, (bool, str)):
        return value in values
    return bool(0 < value <= BEYOND * max(values) or value in values)


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    if not isinstance(value, Mapping):
        raise SpaceError(f"{key} is missing or no object")
    return value


def _whole(config: Mapping[str, Any], key: str, most: int) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value <= most:
        raise SpaceError(f"{key} is {_shown(value)}; it is a number from 1 to {most:,}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
