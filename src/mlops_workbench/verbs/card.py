from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base import files
from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, OutputFile, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.registry.card import Card
    from mlops_workbench.registry.origin import Origin
    from mlops_workbench.session import Session


@verb(stage="registry", effect="reads", example="card flights --out flights.html")
def card(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    out: Annotated[OutputFile | None, Opt("also write it to this .md or .html file")] = None,
) -> Card:
    """The model card of a version, made from its records."""
    from mlops_workbench.verbs.lineage import origin

    done = made(session, origin(session, session.version(name, version)))
    if out is not None:
        path = session.path(out)
        if path.suffix not in (".md", ".html"):
            raise UsageError(
                f"A card is written as .md or .html. Got '{path.name}' instead.", "Name such a file."
            )
        files.write_text(path, done.page() if path.suffix == ".html" else done.markdown)
    return done


def made(session: Session, known: Origin) -> Card:
    """The card with the notes that a person wrote in `cards/NAME.md`."""
    from mlops_workbench.registry import card as cards

    notes = session.project.root / "cards" / f"{known.stored.name}.md"
    return cards.card(known, notes.read_text(encoding="utf-8") if notes.is_file() else "")
