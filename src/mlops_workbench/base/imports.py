"""What a process of ours goes without."""

from __future__ import annotations

import sys
from typing import cast


def skip_iri_grammar() -> None:
    """For the start of a process that is ours alone: nbformat and papermill are then imported in half the time.

    They import jsonschema, which imports rfc3987_syntax to check the format "iri". That builds 35 parsers, and no
    notebook has such a field; jsonschema does without where this import fails.
    https://github.com/jupyter-server/jupyter_server/issues/1559
    """
    cast("dict[str, object]", sys.modules).setdefault("rfc3987_syntax", None)
