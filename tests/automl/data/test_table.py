import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from automl.data import artifact, columns, corpus, sources, splits, spool
from automl.data.advance import heard
from automl.data.columns import Column
from automl.data.corpus import data_digest
from automl.data.forms import PAIRS, Form
from automl.data.sources import Columns, Pairs, read_pairs
from automl.data.table import TokenTable, build_table, open_table, tokenized
from automl.data.tokenizers import UNK
from automl.errors import InputError
from search_spaces.tokenizers import BytePairs, Bytes, Characters, LikeSource, Whitespace


@dataclass(frozen=True)
class Data:
    files: dict[str, Path]
    columns: Columns = field(default_factory=Columns)
    source_tokens: str = "characters"
    target_tokens: str = "auto"
    planted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Document:
    data: Data
    form: Form = PAIRS
    given: None = None


@pytest.fixture
def data(tmp_path: Path) -> Data:
    words = [f"{a}{b}" for a in "abcd" for b in "abcd"]
    rows = {
        "train": [f"{word}\t{' '.join(word)}\t{' '.join(word)} a" for word in words],
        "valid": ["aaa\ta a a\tb b b", "axb\ta x b"],
        "test": ["bbb\tb b b", "abb\t" + "a b " * 20, "abb\ta", "c\t"],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Data({name: tmp_path / f"{name}.tsv" for name in rows})


@pytest.fixture
def table(data: Data, tmp_path: Path) -> TokenTable:
    return build_table(Document(data), tmp_path / "cache")


def test_train_has_a_row_for_every_acceptable_target(table: TokenTable) -> None:
    train = table.split("train")
    assert train.rows == 32
    rows = [train.target[train.target_offsets[i] : train.target_offsets[i + 1]] for i in range(3)]
    assert table.target_tokenizer.decode_batch(rows) == ["a a", "a a a", "a b"]
    assert (train.source.dtype, train.source_offsets.dtype) == (np.int32, np.int64)


def test_valid_and_test_have_a_row_for_every_source(table: TokenTable) -> None:
    assert table.split("valid").rows == table.split("test").rows == 2
    assert table.corpus.sources("valid") == ["aaa", "axb"]
    assert table.references("valid") == [["a a a", "b b b"], ["a x b"]]
    assert table.references("test")[1][1] == "a"


def test_arrays_are_mapped_and_not_read(table: TokenTable) -> None:
    assert isinstance(table.split("train").source, np.memmap)


def test_tokens_are_learned_from_train_only(table: TokenTable) -> None:
    assert table.target_tokenizer.kind is Whitespace
    assert table.source_tokenizer.size == table.target_tokenizer.size == 8
    assert table.split("valid").source.tolist().count(UNK) == 1


def test_meta_counts_lengths_and_vocabulary(table: TokenTable) -> None:
    assert table.limits(2.0).of(1) == 2 * 3 + 10
    assert table.meta["splits"]["train"]["target"] == {
        "tokens": 80,
        "max_length": 3,
        "mean_length": 2.5,
        "unknown": 0,
    }
    assert table.meta["vocabulary"] == {"source": 8, "target": 8}
    assert table.meta["dropped"] == {"train": {}, "valid": {}, "test": {"no target": 1}}


def test_notices_say_what_was_dropped_unknown_and_too_long(table: TokenTable) -> None:
    assert table.notices == [
        "test.tsv: 1 row dropped: no target (the first on line 4)",
        "valid: source tokens unknown to train: 1 of 6",
        "valid: target tokens unknown to train: 1 of 6",
        "test: targets that are longer than a model says for sources of their length: 1, which no likelihood counts; "
        "[space] length_slack lets it say more",
    ]


def test_a_table_is_built_once(data: Data, table: TokenTable, tmp_path: Path) -> None:
    before = (table.folder / "meta.json").stat().st_mtime_ns
    again = build_table(Document(data), tmp_path / "cache")
    assert (again.folder, (again.folder / "meta.json").stat().st_mtime_ns) == (table.folder, before)
    assert [path.name for path in table.folder.parent.iterdir()] == [table.digest]


def test_two_processes_may_build_the_same_table(data: Data, tmp_path: Path) -> None:
    def read_while_another_builds(path: Path, columns: Columns) -> Pairs:
        build_table(Document(data), tmp_path / "cache")
        return read_pairs(path, columns)

    table = build_table(Document(data, Form(read=read_while_another_builds)), tmp_path / "cache")
    assert table.split("train").rows == 32
    assert [path.name for path in table.folder.parent.iterdir()] == [table.digest]


def test_only_the_owner_sees_the_folder(table: TokenTable) -> None:
    assert table.folder.stat().st_mode & 0o777 == 0o700
    assert table.folder.parent.stat().st_mode & 0o777 == 0o700


def test_content_columns_and_tokens_change_the_digest(data: Data) -> None:
    digest = data_digest(data)
    others = [Data(data.files, Columns(0, (2,))), Data(data.files, source_tokens="bytes")]
    with data.files["train"].open("a", encoding="utf-8") as file:
        file.write("dada\td a d a\n")
    assert len({digest, data_digest(data), *map(data_digest, others)}) == 4


@pytest.mark.parametrize("name", ["train.source.npy", "tokenizer.source.json", "meta.json"])
@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", None])
def test_a_damaged_table_is_rebuilt(data: Data, table: TokenTable, tmp_path: Path, name: str, damage) -> None:
    path = table.folder / name
    content = path.read_bytes()
    path.write_bytes(damage(content)) if damage else path.unlink()
    with pytest.raises(InputError, match="not a whole token table"):
        open_table(table.folder)
    build_table(Document(data), tmp_path / "cache")
    assert path.read_bytes() == content
    assert len(list(table.folder.parent.iterdir())) == 1


def test_a_flipped_byte_is_found_when_the_table_is_built_again(data: Data, table: TokenTable, tmp_path: Path) -> None:
    path = table.folder / "train.target.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\1" + content[-3:])
    assert np.array_equal(build_table(Document(data), tmp_path / "cache").split("train").target, np.load(path))
    assert path.read_bytes() == content


def test_a_table_of_another_format_is_refused(table: TokenTable) -> None:
    (table.folder / "meta.json").write_text(json.dumps(table.meta | {"version": 0}), encoding="utf-8")
    with pytest.raises(InputError, match="not a whole token table"):
        open_table(table.folder)


def test_a_cache_that_cannot_be_written_is_named(data: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"file: the token table cannot be written there \(Not a directory\)"):
        build_table(Document(data), tmp_path / "file")


def test_bad_data_leaves_nothing_behind(data: Data, tmp_path: Path) -> None:
    data.files["valid"].write_bytes(b"a\t\xff\n")
    with pytest.raises(InputError, match=r"valid\.tsv: line 1 is not UTF-8"):
        build_table(Document(data), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_pair_far_longer_than_all_others_is_left_out_of_train_and_said(data: Data, tmp_path: Path) -> None:
    with data.files["train"].open("a", encoding="utf-8") as file:
        file.writelines(
            f"{a}{b}{c}\ta b\n"
            for a in "abcd"
            for b in "abcd"
            for c in "abcd"
            if a + b + c not in ("aaa", "bbb", "abb")
        )
        file.write("da" * 500 + "\ta b\n")
    table = build_table(Document(data), tmp_path / "cache")
    assert table.split("train").rows == 32 + 61
    assert "train: 1 pair dropped: more than four times as long as 99 of 100 others" in table.notices
    assert table.meta["max_source_length"] == 4 * 3 + 100


def test_each_choice_of_tokenizers_has_one_table(table: TokenTable) -> None:
    corpus = table.corpus
    choices = [
        (Characters(), Whitespace()),
        (Bytes(), Whitespace()),
        (BytePairs(1000), Whitespace()),
        (BytePairs(1000), LikeSource(shared=True)),
        (BytePairs(1000), LikeSource(shared=False)),
    ]
    tables = [tokenized(corpus, tokens) for tokens in choices]
    assert tables[0].folder == table.folder
    assert len({one.digest for one in tables}) == len(list(table.folder.parent.iterdir())) == len(choices)
    assert tokenized(corpus, (BytePairs(1000), BytePairs(1000))).digest == tables[4].digest
    for one in tables:
        rows = one.split("valid")
        assert one.source_tokenizer.decode_batch([rows.source[: rows.source_offsets[1]]]) == ["aaa"]
        assert one.references("valid") == table.references("valid")


def test_a_shared_vocabulary_is_learnt_from_both_sides(table: TokenTable) -> None:
    shared = tokenized(table.corpus, (Characters(), LikeSource(shared=True)))
    own = tokenized(table.corpus, (Characters(), LikeSource(shared=False)))
    assert shared.source_tokenizer.to_json() == shared.target_tokenizer.to_json()
    assert own.meta["vocabulary"] == {"source": 8, "target": 9}
    assert shared.meta["vocabulary"] == {"source": 9, "target": 9}


def test_subwords_know_what_train_does_not_hold(table: TokenTable) -> None:
    subwords = tokenized(table.corpus, (BytePairs(1000), LikeSource()))
    assert not any("unknown" in notice for notice in subwords.notices)
    assert UNK not in subwords.split("valid").source


def test_a_vocabulary_that_train_cannot_fill_is_said(table: TokenTable) -> None:
    subwords = tokenized(table.corpus, (BytePairs(1000), Whitespace()))
    size = subwords.meta["vocabulary"]["source"]
    assert 260 < size < 300
    assert f"train: source gives {size} subwords; every larger vocabulary is the same" in subwords.notices


def test_a_table_is_the_same_however_little_is_held_at_once(
    data: Data, table: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (spool, sources, splits):
        monkeypatch.setattr(module, "BLOCK", 3)
    monkeypatch.setattr(spool, "HELD", 1)
    monkeypatch.setattr(corpus, "BATCH", 2)
    monkeypatch.setattr(columns, "VALUES", 5)
    again = build_table(Document(data), tmp_path / "other")
    assert again.meta == table.meta
    assert again.corpus.meta == table.corpus.meta


def test_a_disk_that_is_full_is_said_in_one_line_and_nothing_is_left(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Column, values: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Column, "append", full)
    with pytest.raises(
        InputError, match=r"cache: the token table cannot be written there \(No space left on device\)$"
    ):
        build_table(Document(data), tmp_path / "cache")
    (folder,) = (tmp_path / "cache" / "corpora").glob("*/tables")
    assert not [*folder.iterdir()]


def test_what_lies_as_it_was_found_sound_is_not_read_again(
    data: Data, table: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SETTLED", -1)
    build_table(Document(data), tmp_path / "cache")
    read: list[str] = []
    whole = artifact.sha256_of
    monkeypatch.setattr(artifact, "sha256_of", lambda path: read.append(path.name) or whole(path))
    build_table(Document(data), tmp_path / "cache")
    assert not read
    table_file = table.folder / "train.target.npy"
    table_file.write_bytes(table_file.read_bytes())
    data.files["test"].write_bytes(data.files["test"].read_bytes())
    build_table(Document(data), tmp_path / "cache")
    assert read == ["test.tsv", "train.target.npy"]


def test_what_has_just_changed_is_read_again_since_its_times_may_not_tell(
    data: Data, table: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SETTLED", 10**18)
    read: list[str] = []
    whole = artifact.sha256_of
    monkeypatch.setattr(artifact, "sha256_of", lambda path: read.append(path.name) or whole(path))
    for _ in range(2):
        build_table(Document(data), tmp_path / "cache")
    assert read.count("train.tsv") == 2


def test_how_far_reading_is_is_told(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float]] = []
    with heard(lambda what, share: told.append((what, share))):
        build_table(Document(data), tmp_path / "cache")
    assert told[0] == ("reading train.tsv", 1.0)
    assert told[-1] == ("tokenizing test", 1.0)
    assert all(0 <= share <= 1 for _, share in told)
