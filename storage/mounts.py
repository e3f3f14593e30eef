"""Which file system a path lies on: SQLite needs the locks and the shared memory of a local one."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = (
    *("nfs", "cifs", "smb", "afs", "ceph", "lustre", "gpfs", "gluster", "beegfs", "ncpfs", "ocfs", "pvfs"),
    *(
        "sshfs",
        "s3fs",
        "gcsfuse",
        "rclone",
        "davfs",
        "gvfsd",
        "juicefs",
        "mount-s3",
        "goofys",
        "blobfuse",
        "objectivefs",
    ),
    *("wekafs", "orangefs", "moosefs", "mfs", "panfs", "acfs", "quobyte", "vboxsf", "prl_fs", "vmhgfs"),
)
"""How the names of network file systems begin, after `fuse.` where there is one."""


def network_file_system(path: Path) -> str | None:
    """The kind of network file system that a path lies on, or will; none on a local one, or where it is not known."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = path.resolve()
    mounts = [(Path(_plain(fields[4])), fields[fields.index("-") + 1]) for line in lines if (fields := line.split())]
    holding = [(mount, kind) for mount, kind in mounts if place == mount or mount in place.parents]
    kind = max(reversed(holding), key=lambda found: len(found[0].parts), default=(path, ""))[1]
    return kind if kind.removeprefix("fuse.").startswith(NETWORK) else None


def _plain(name: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(code, character)
    return name
