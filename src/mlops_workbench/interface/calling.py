"""How every face calls a verb: its arguments are checked, and what it raises is a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import damage, faults, files, tracebacks
from mlops_workbench.base.errors import MlopsError, UsageError
from mlops_workbench.config.project import STARTING
from mlops_workbench.interface.checking import checked
from mlops_workbench.interface.description import Verb

if TYPE_CHECKING:
    from mlops_workbench.session import Session


def call(
    verb: Verb,
    function: Callable[..., Any],
    session: Session,
    given: Sequence[Any],
    options: Mapping[str, Any],
) -> Any:
    """The verb's result. Raises `MlopsError`, and what a person's own code raises in a tracked run."""
    asked = checked(verb, _named(verb, given, options))

    def work() -> Any:
        _repair(session)
        return function(session, **asked)

    return in_words(verb.name, session, work)


def _repair(session: Session) -> None:
    """End what a killed `serve` has left. What keeps it from that, the verb says itself if it concerns it."""
    with suppress(MlopsError):
        notes = session.project.state / STARTING
        if notes.is_dir() and any(notes.iterdir()):
            from mlops_workbench.rollout import unfinished

            unfinished.finish(session)


def in_words(what: str, session: Session, work: Callable[[], Any]) -> Any:
    """The same for a piece of work: whatever nobody put into words is written to a log, and is one sentence."""
    try:
        return work()
    except MlopsError:
        raise
    except Exception as problem:
        if tracebacks.from_code(problem):
            raise
        if damage.is_damage(problem):
            raise _damaged(session, problem) from None
        if (said := faults.known(problem)) is not None:
            raise said from None
        raise faults.unexpected(what, problem, _folders(session), session.clock.now()) from None


def _named(verb: Verb, given: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    places = [arg.name for arg in verb.args if not arg.flags]
    if len(given) > len(places):
        raise UsageError(
            f"The verb '{verb.name}' takes {len(places)} values without a name. Got {len(given)} instead.",
            "Name the others.",
        )
    named = dict(zip(places, given, strict=False))
    for name in options:
        if name in named:
            raise UsageError(f"The verb '{verb.name}' was given '{name}' twice.", "Give it once.")
    return named | dict(options)


def _damaged(session: Session, problem: BaseException) -> MlopsError:
    """MLflow's and SQLAlchemy's errors do not name the file: each is looked at."""
    from mlops_workbench.store.damage import look

    project = session.seen_project
    found = None if project is None else look(project)
    return found or damage.damaged("of the project", " ".join(str(problem).split())[:200])


def _folders(session: Session) -> tuple[Path, ...]:
    """Where the log may lie: in the project, else in the person's cache."""
    project = session.seen_project
    own = () if project is None else (project.state / "logs",)
    return (*own, files.user_cache())
