"""Reading files out of zip and tar archives in memory: no member is ever written to the disk, so none can escape."""

import functools
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from oplstm_jax.data.decode import MAX_BYTES
from oplstm_jax.data.sources.build import File


def zip_files(path: Path) -> dict[str, File]:
    """Member name -> file of a zip archive. Raises ValueError for what is none, or is cut short."""
    try:
        archive = zipfile.ZipFile(path)
        if not all(member.filename for member in archive.infolist()):
            raise ValueError("a member has no name")
    except Exception as error:  # damaged archives raise nearly anything
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot read zip archive ({reason}); expected a complete .zip file") from error
    members = [member for member in archive.infolist() if not member.is_dir()]
    read = functools.partial(functools.partial, _read_member, archive)
    return {member.filename: File(f"{path}: {member.filename}", read(member)) for member in members}


def tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every regular file in a tar archive, compressed or not, in one pass through it.

    Not in tarfile's stream mode ("r|*"), which takes an archive that is cut short for a complete one.

    Raises ValueError for what is no tar archive, is cut short or damaged.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isreg() and member.size <= MAX_BYTES and (file := archive.extractfile(member)):
                    yield member.name, file.read()
            while archive.fileobj.read(1 << 20):  # to the end, where the compressed stream has its checksum
                pass
    except ValueError:
        raise
    except Exception as error:  # damaged compressed streams raise nearly anything
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot read tar archive ({reason}); expected a whole .tgz or .tar file") from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            data = file.read(MAX_BYTES + 1)
    except Exception as error:  # damaged compressed streams raise nearly anything
        reason = " ".join(str(error).split())
        raise ValueError(f"{archive.filename}: {member.filename!r} is damaged ({reason})") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{archive.filename}: {member.filename!r} has more than {MAX_BYTES} bytes")
    return data
