"""Marks a function as a verb: described by its signature, its arguments checked, its faults put into words.

@verb(stage="registry", effect="writes", example='promote flights/3 --why "better in June"')
def promote(session: Session, name: ModelVersion, *, why: Why, force: Force = False) -> Entry:
    \"\"\"Make a version the champion.\"\"\"
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mlops_workbench.interface import calling
from mlops_workbench.interface.description import Arg as Arg
from mlops_workbench.interface.description import Effect
from mlops_workbench.interface.description import Opt as Opt
from mlops_workbench.interface.description import Verb as Verb

if TYPE_CHECKING:
    from mlops_workbench.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def verb(
    *,
    stage: str,
    effect: Effect,
    long: bool = False,
    example: str = "",
    work: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Mark a function as the verb of its name. Whoever calls it, its arguments are checked first."""

    def marked(function: F) -> F:
        @functools.wraps(function)
        def called(session: Session, *given: Any, **options: Any) -> Any:
            return calling.call(described, function, session, given, options)

        name = function.__name__.rstrip("_")
        described = Verb(name, stage, effect, called, long=long, example=example, work=work)
        called.__verb__ = described  # type: ignore[attr-defined]
        return cast("F", called)

    return marked


def spec(function: Callable[..., Any]) -> Verb:
    """The description of a function that is marked as a verb."""
    found: Verb = function.__verb__  # type: ignore[attr-defined]
    return found


def verbs_of(table: type) -> dict[str, Verb]:
    """The verbs of a class body, in its order."""
    marked = (getattr(value, "__verb__", None) for value in vars(table).values())
    return {found.name: found for found in marked if found is not None}
