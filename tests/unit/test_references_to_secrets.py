"""Secrets by reference: from the environment and from files, never in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.base import secrets
from mlops_workbench.base.errors import UsageError


def test_where_a_secret_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "s3cret")
    (tmp_path / "token").write_text("in a file\n")
    assert secrets.resolved("secret://env/A_TOKEN") == "s3cret"
    assert secrets.resolved(f"secret://file{tmp_path}/token") == "in a file"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert secrets.resolved("secret://file/~/token") == "in a file"
    assert secrets.resolved("plain text") == "plain text"


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("secret://env/NOT_THERE", "variable of secret://env/NOT_THERE is not set"),
        ("secret://vault/x", "is no reference to a secret"),
        ("secret://env/", "is no reference to a secret"),
        ("secret://file/not/there", "cannot be read: No such file or directory"),
    ],
)
def test_what_is_not_there_is_said(reference: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        secrets.resolved(reference)
