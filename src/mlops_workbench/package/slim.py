"""What is installed in an image is made small, and the same each time: run in the build by the image's own Python.

`python slim.py VENV MODULE…`. Standard library alone, and nothing of ours: it is copied into the build as it is.

- No tests of the large libraries, and nothing that only a compiler or a type checker reads.
- Shared libraries end where the loader stops reading: symbols for debuggers come after that.
- Files of the same content are one file.
- The modules that the runtime imports are compiled, and no others: without compiled files a start takes seconds more.
  The compiled file is then all there is of such a module: the source beside it would be as large again.
- Fixed times, no cache that is checked against them: the same wheels are the same layer.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import py_compile
import shutil
import struct
import sys
from pathlib import Path

_TESTED = ("numpy", "pandas", "scipy", "sklearn")
"""a third of their size is tests"""
_UNREAD = frozenset({".a", ".c", ".cpp", ".f90", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx", ".tp", ".lib"})
_ALIKE_FROM = 100_000
"""bytes from which it is worth looking for a file of the same content"""


def main(venv: Path, modules: list[str]) -> None:
    (site,) = venv.glob("lib/python3*/site-packages")
    remove_unread(site)
    for library in sorted(site.rglob("*.so*")):
        cut(library)
    link_alike(site)
    compile_imported(site, modules)
    for folder, folders, files in os.walk(venv, topdown=False):
        for name in (*files, *folders, "."):
            os.utime(Path(folder, name), (0, 0), follow_symlinks=False)


def remove_unread(site: Path) -> None:
    for large in _TESTED:
        for tests in sorted(site.joinpath(large).rglob("tests")):
            shutil.rmtree(tests, ignore_errors=True)  # one may lie in another
    for path in sorted(site.rglob("*")):
        if path.suffix in _UNREAD and path.is_file() and not path.parent.name.endswith(".dist-info"):
            path.unlink()


def cut(library: Path) -> None:
    """End a shared library of 64 bits after its last segment: no loader reads the sections behind it."""
    with library.open("r+b") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return
        (table,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        end = table + size * count
        file.seek(table)
        for _ in range(count):
            segment = file.read(size)
            offset, _, _, length = struct.unpack_from("<QQQQ", segment, 8)
            end = max(end, offset + length)
        file.seek(40)
        file.write(bytes(8))  # where the table of sections was
        file.seek(58)
        file.write(struct.pack("<HHH", 64, 0, 0))
        file.truncate(end)


def link_alike(site: Path) -> None:
    known: dict[str, Path] = {}
    for path in sorted(site.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < _ALIKE_FROM:
            continue
        first = known.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
        if first is not path and first.stat().st_mode == path.stat().st_mode:
            path.unlink()
            path.hardlink_to(first)


def compile_imported(site: Path, modules: list[str]) -> None:
    """Compile what importing these modules loads; one that is not installed is passed over."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(site))
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for source in sorted(Path(file) for file in found if file and file.endswith(".py")):
        if not source.is_relative_to(site):
            continue
        py_compile.compile(
            str(source),
            cfile=str(source.with_suffix(".pyc")),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        source.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
