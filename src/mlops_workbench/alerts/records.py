"""Alerts: what a person should look at. Raised by any room, listed and acknowledged by the verb of that name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mlops_workbench.alerts import channels
from mlops_workbench.base.errors import Conflict, NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.names import user
from mlops_workbench.plugins import Message
from mlops_workbench.store.context import Context
from mlops_workbench.store.engine import Store, StoreRow, inserted_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

CRITICAL = "critical"
WARNING = "warning"
OVER = "over"
"""who has acknowledged what ended by itself"""


@dataclass(frozen=True)
class Alert(Value):
    """One thing to look at. `count`: how often it occurred; `last_seen`: when it was so last."""

    id: int
    at: str
    model: str
    kind: str
    subject: str
    severity: str
    message: str
    details: Mapping[str, Any]
    count: int
    last_seen: str
    acknowledged_at: str | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True)
class AlertList(Value):
    """Alerts, newest first."""

    alerts: tuple[Alert, ...]

    @property
    def title(self) -> str:
        waiting = sum(a.acknowledged_at is None for a in self.alerts)
        if not waiting:
            return "No alert is open."
        return f"{waiting} open alert{'s' * (waiting != 1)}"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        if not self.alerts:
            return ["", ""], []
        closed = any(a.acknowledged_at for a in self.alerts)
        heads = ["id", "severity", "model", "since", "last seen", "times"]
        return [*heads, *["acknowledged by"] * closed, "what"], [
            [
                *(a.id, a.severity, a.model, _at(a.at), _at(a.last_seen), a.count),
                *[a.acknowledged_by] * closed,
                a.message,
            ]
            for a in self.alerts
        ]

    def text(self) -> str:
        return super().text() if self.alerts else self.title


@dataclass(frozen=True, slots=True)
class NewAlert:
    """What is to be raised. Model, kind and subject together say which alert it is."""

    model: str
    kind: str
    subject: str
    message: str
    severity: str = CRITICAL
    details: Mapping[str, Any] = field(default_factory=dict)
    occurrence: str = ""
    """distinguishes one time from the next: the same one is not counted again, and one that a person has
    acknowledged is not raised again while it goes on"""


def raised(context: Context, new: NewAlert) -> Alert:
    """Record an alert and send it to the channels. If it is open already, it is counted instead."""
    from sqlalchemy import update

    from mlops_workbench.alerts.tables import alerts

    store = context.store
    key = {"model": new.model, "kind": new.kind, "subject": new.subject}
    occurrence = new.occurrence
    seen = {
        "message": new.message,
        "details": dict(new.details),
        "last_seen": store.now(),
        "occurrence": occurrence,
    }
    with store.write() as connection:
        known = _known(connection, key, occurrence)
        if known is None:
            fields = key | seen | {"at": seen["last_seen"], "severity": new.severity, "count": 1}
            number = inserted_id(connection.execute(alerts.insert().values(**fields)))
        else:
            number = known["id"]
            again = not occurrence or known["occurrence"] != occurrence
            connection.execute(
                update(alerts).where(alerts.c.id == number).values(**seen, count=known["count"] + again)
            )
    alert = get(store, number)
    if known is None:
        _deliver(context, alert)
    return alert


def _deliver(context: Context, alert: Alert) -> None:
    """After it is recorded, outside of the transaction: a channel may take its time, or fail."""
    message = Message(
        f"{alert.model}: {alert.kind}", alert.message, alert.severity, alert.model, alert.at, alert.details
    )
    if failed := channels.deliver(context, message):
        from sqlalchemy import update

        from mlops_workbench.alerts.tables import alerts

        details = dict(alert.details) | {"not delivered": failed}
        with context.store.write() as connection:
            connection.execute(update(alerts).where(alerts.c.id == alert.id).values(details=details))


def _known(connection: Connection, key: Mapping[str, str], occurrence: str) -> StoreRow | None:
    """The open one, or the acknowledged one that goes on."""
    from sqlalchemy import select

    from mlops_workbench.alerts.tables import alerts

    statement = select(alerts).filter_by(**key).order_by(alerts.c.id.desc())
    rows: list[StoreRow] = list(connection.execute(statement).mappings())  # type: ignore[arg-type]
    open_ones = [row for row in rows if row["acknowledged_at"] is None]
    going_on = [row for row in rows if occurrence and row["occurrence"] == occurrence]
    return next(iter(open_ones + going_on), None)


def find(store: Store, *, everything: bool = False, limit: int = 200) -> tuple[Alert, ...]:
    """Open ones, newest first; with `everything` the acknowledged ones, too."""
    sql = "SELECT * FROM workbench_alerts WHERE acknowledged_at IS NULL ORDER BY id DESC LIMIT :limit"
    if everything:
        sql = "SELECT * FROM workbench_alerts ORDER BY id DESC LIMIT :limit"
    return tuple(_alert(row) for row in store.read(sql, {"limit": limit}, ["details"]))


def get(store: Store, number: int) -> Alert:
    """Raises `NotFound`."""
    row = store.read_one("SELECT * FROM workbench_alerts WHERE id = :id", {"id": number}, ["details"])
    if row is None:
        known = [str(a.id) for a in find(store)]
        raise NotFound(f"There is no alert {number}.", closest(str(number), known))
    return _alert(row)


def acknowledge(store: Store, number: int) -> Alert:
    """Someone has looked at it. Raises `NotFound`, `Conflict` for one that is acknowledged already."""
    from sqlalchemy import update

    from mlops_workbench.alerts.tables import alerts

    found = get(store, number)
    values = {"acknowledged_at": store.now(), "acknowledged_by": user()}
    statement = update(alerts).where(alerts.c.id == number, alerts.c.acknowledged_at.is_(None))
    with store.write() as connection:
        changed = connection.execute(statement.values(**values)).rowcount
    if not changed:
        raise Conflict(
            f"Alert {number} is acknowledged already, by {get(store, number).acknowledged_by}.",
            f"It is about '{found.model}'.",
        )
    return get(store, number)


def over(store: Store, model: str, subjects: Iterable[str]) -> int:
    """Acknowledge the open alerts about what is no longer in use; how many they were."""
    from sqlalchemy import update

    from mlops_workbench.alerts.tables import alerts

    statement = update(alerts).where(
        alerts.c.model == model, alerts.c.subject.in_(list(subjects)), alerts.c.acknowledged_at.is_(None)
    )
    with store.write() as connection:
        return connection.execute(
            statement.values(acknowledged_at=store.now(), acknowledged_by=user())
        ).rowcount


def settled(store: Store, model: str, kind: str, subject: str) -> None:
    """What an open alert says is over: it is closed."""
    from sqlalchemy import update

    from mlops_workbench.alerts.tables import alerts

    with store.write() as connection:
        connection.execute(
            update(alerts)
            .filter_by(model=model, kind=kind, subject=subject, acknowledged_at=None)
            .values(acknowledged_at=store.now(), acknowledged_by=OVER)
        )


def _alert(row: StoreRow) -> Alert:
    return Alert(**{f.name: row[f.name] for f in fields(Alert)})


def _at(time: str) -> str:
    return time[:19].replace("T", " ")
