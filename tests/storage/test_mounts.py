"""Where SQLite may lie."""

from pathlib import Path

import pytest

from storage import mounts
from storage.database import StorageError, open_database

LINES = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /home rw - nfs4 server:/home rw
41 40 254:1 / /home/fast rw - xfs /dev/vdb rw
42 22 0:42 / /mnt/my\\040share rw - cifs //server/share rw
43 22 0:43 / /mnt/far rw - fuse.sshfs me@far: rw
44 22 0:44 / /mnt/far rw - tmpfs tmpfs rw
45 22 0:45 / /mnt/farther rw - fuse.sshfs me@far: rw
46 22 0:46 / /mnt/bucket rw - fuse.mount-s3 mountpoint-s3 rw
"""


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(LINES)
    monkeypatch.setattr(mounts, "MOUNTS", file)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/automl.db", None),
        ("/home/me/automl.db", "nfs4"),
        ("/home/fast/automl.db", None),
        ("/homely/automl.db", None),
        ("/mnt/my share/automl.db", "cifs"),
        ("/mnt/far/automl.db", None),
        ("/mnt/farther/automl.db", "fuse.sshfs"),
        ("/mnt/bucket/automl.db", "fuse.mount-s3"),
    ],
)
def test_the_innermost_newest_mount_decides(mounted: None, path: str, kind: str | None) -> None:
    assert mounts.network_file_system(Path(path)) == kind


def test_sqlite_on_a_network_file_system_is_refused_with_a_way_out(mounted: None) -> None:
    with pytest.raises(StorageError, match=r"/home/me/automl.db is on a network file system \(nfs4\).*PostgreSQL"):
        open_database("sqlite:////home/me/automl.db")


def test_neither_a_link_nor_a_uri_leads_there_unseen(mounted: None, tmp_path: Path) -> None:
    (tmp_path / "automl.db").symlink_to("/home/me/automl.db")
    with pytest.raises(StorageError, match="is on a network file system"):
        open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    with pytest.raises(StorageError, match="own URIs are not taken"):
        open_database("sqlite:///file:/home/me/automl.db?uri=true")


def test_where_mounts_are_not_known_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "absent")
    assert mounts.network_file_system(tmp_path / "automl.db") is None
