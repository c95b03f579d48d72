"""From a typed word to a value. Each raises `argparse.ArgumentTypeError` with the second half of a sentence."""

from __future__ import annotations

import argparse
import re

from mlops_workbench.config import resources

LARGEST = 2**63 - 1


def number(text: str) -> int:
    """Of the size that databases keep."""
    try:
        value = int(text)
    except ValueError:
        value = LARGEST + 1
    if abs(value) > LARGEST:
        raise argparse.ArgumentTypeError(f"must be a whole number. Got '{text}' instead.")
    return value


def version(text: str) -> int:
    """`3` or `v3`."""
    value = number(text.removeprefix("v"))
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a version number from 1 up. Got '{text}' instead.")
    return value


def port(text: str) -> int:
    value = number(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535. Got '{text}' instead.")
    return value


def positive(text: str) -> int:
    value = number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up. Got '{text}' instead.")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number from 0 up. Got '{text}' instead.")
    return value


def memory(text: str) -> str:
    try:
        return resources.as_memory(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{problem}.") from None


def cpus(text: str) -> float:
    try:
        return resources.as_cpus(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{problem}.") from None


def platform(text: str) -> str:
    if not re.fullmatch(r"linux/[a-z0-9_]+(/v\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be a platform such as linux/arm64. Got '{text}' instead.")
    return text


def setting(text: str) -> tuple[str, str]:
    """`name=value`, the value still as text: the notebook that declares the parameter gives its type."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"must be name=value. Got '{text}' instead.")
    return name.strip(), value
