"""Where labels are kept, beside the predictions: the ones that count, what they replaced, and those given by a key.

| table | a row is |
|---|---|
| `labels_<slug>` | the label of one logged row, by `request_id` and `row_index`; `origin`: "key" if given by a key |
| `label_history_<slug>` | an earlier value that a correction replaced, with its time and when it was replaced |
| `keyed_labels_<slug>` | a label given by a key and a time, and the row that it belongs to, if that is logged yet |
| `label_marks` | how many rows a model's log had, and the sum of their times, when its keyed labels were matched |

Labels given by `request_id` are never lost either: without a prediction they lie in `labels_<slug>` until it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops_workbench.monitor.inference import labels_table
from mlops_workbench.serving.tables import slug

LABEL_CHUNK = 5_000
"""labels written in one transaction: the runtime commits before it answers, and waits no longer than that"""
KEYED = "key"
"""`origin` of a label that was given by a key; one given by its request has none, and counts before it"""


@dataclass(frozen=True)
class LabelTables:
    """The tables of one model's labels."""

    labels: sa.Table
    history: sa.Table
    keyed: sa.Table
    marks: sa.Table

    def create(self, engine: sa.Engine) -> None:
        """Those that are not there, and the column that older ones lack."""
        for table in (self.labels, self.history, self.keyed, self.marks):
            table.create(engine, checkfirst=True)
        if "origin" not in {c["name"] for c in sa.inspect(engine).get_columns(self.labels.name)}:
            with engine.begin() as connection:
                connection.exec_driver_sql(f'ALTER TABLE "{self.labels.name}" ADD COLUMN origin TEXT')


def label_tables(model: str, kind: Any) -> LabelTables:
    """`kind`: the type of a label, that of the predictions."""
    metadata, name = sa.MetaData(), slug(model)
    return LabelTables(
        labels_table(model, kind),
        sa.Table(
            f"label_history_{name}",
            metadata,
            sa.Column("request_id", sa.Text),
            sa.Column("row_index", sa.Integer),
            sa.Column("key_column", sa.Text),
            sa.Column("key", sa.Text),
            sa.Column("label", kind, nullable=False),
            sa.Column("at", sa.Double, nullable=False),
            sa.Column("replaced_at", sa.Double, nullable=False),
        ),
        sa.Table(
            f"keyed_labels_{name}",
            metadata,
            sa.Column("key_column", sa.Text, primary_key=True),
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("at", sa.Double, primary_key=True),
            sa.Column("label", kind, nullable=False),
            sa.Column("tolerance", sa.Double),
            sa.Column("came", sa.Double, nullable=False),
            sa.Column("request_id", sa.Text),
            sa.Column("row_index", sa.Integer),
        ),
        sa.Table(
            "label_marks",
            metadata,
            sa.Column("model", sa.Text, primary_key=True),
            sa.Column("rows", sa.BigInteger, nullable=False),
            sa.Column("moments", sa.Double, nullable=False),
        ),
    )


@dataclass(frozen=True)
class Incoming:
    """Labels in a temporary table of the connection, to be written to `target` by its primary key."""

    target: sa.Table
    table: sa.Table
    count: int

    @classmethod
    def made(
        cls, connection: sa.Connection, target: sa.Table, rows: Sequence[Mapping[Any, Any]], name: str
    ) -> Incoming:
        table = sa.Table(
            f"incoming_{name}",
            sa.MetaData(),
            sa.Column("place", sa.Integer, primary_key=True),
            *(sa.Column(c.name, c.type) for c in target.columns),
            prefixes=["TEMPORARY"],
        )
        table.create(connection)
        if rows:
            connection.execute(sa.insert(table), [{"place": i, **row} for i, row in enumerate(rows)])
        return cls(target, table, len(rows))

    def same(self, other: sa.Table, names: Sequence[str]) -> sa.ColumnElement[bool]:
        return sa.and_(*(self.table.c[name] == other.c[name] for name in names))

    def counted(self, other: sa.Table, names: Sequence[str], *also: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """How many of them have a row in another table."""
        found = sa.exists().where(self.same(other, names), *also)
        return sa.select(sa.func.count()).select_from(self.table).where(found)

    @property
    def key(self) -> list[str]:
        return [c.name for c in self.target.primary_key.columns]

    @property
    def differs(self) -> sa.ColumnElement[bool]:
        return self.table.c.label != self.target.c.label

    def write(self, connection: sa.Connection, history: sa.Table, now: float) -> None:
        """Upsert in short transactions, each with the history of what it changes. A repeated label keeps its time."""
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        names = [c.name for c in self.target.columns]
        kept = [c.name for c in history.columns if c.name in names]
        for start in range(0, self.count, LABEL_CHUNK):
            part = self.table.c.place.between(start, start + LABEL_CHUNK - 1)
            lock(connection)
            before = sa.select(*(self.target.c[name] for name in kept), sa.literal(now)).where(
                self.same(self.target, self.key), part, self.differs
            )
            connection.execute(history.insert().from_select([*kept, "replaced_at"], before))
            upsert = dialect.insert(self.target).from_select(
                names, sa.select(*(self.table.c[name] for name in names)).where(part)
            )
            new = upsert.excluded
            differs = new.label != self.target.c.label
            taken: dict[str, Any] = {"label": new.label}
            arrival = "came" if "came" in names else "at"
            taken[arrival] = sa.case((differs, new[arrival]), else_=self.target.c[arrival])
            taken |= {name: new[name] for name in ("origin", "tolerance") if name in names}
            connection.execute(upsert.on_conflict_do_update(index_elements=self.key, set_=taken))
            connection.commit()

    def drop(self, connection: sa.Connection) -> None:
        self.table.drop(connection)
        connection.commit()


def lock(connection: sa.Connection) -> None:
    """Who writes labels waits for who else does, to the end of the transaction. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('mlops labels'))")


def forget(connection: sa.Connection, tables: LabelTables, table: sa.Table, before: float) -> None:
    """Labels of rows that are deleted because they are older, also those that waited for such a row: it was answered
    before its label came. `table`: the log."""
    labels, history, keyed = tables.labels, tables.history, tables.keyed

    def orphaned(one: sa.Table) -> sa.ColumnElement[bool]:
        of = (table.c.request_id == one.c.request_id) & (table.c.row_index == one.c.row_index)
        return ~sa.exists(sa.select(table.c.request_id).where(of).correlate(one))

    connection.execute(sa.delete(labels).where(labels.c.at < before, orphaned(labels)))
    connection.execute(
        sa.delete(keyed).where((keyed.c.at < before) | (keyed.c.request_id.is_not(None) & orphaned(keyed)))
    )
    same = sa.and_(*(keyed.c[name] == history.c[name] for name in ("key_column", "key", "at")))
    gone = ~sa.exists(sa.select(keyed.c.key).where(same).correlate(history))
    of_request = history.c.request_id.is_not(None) & (history.c.replaced_at < before) & orphaned(history)
    connection.execute(sa.delete(history).where((history.c.key.is_not(None) & gone) | of_request))
