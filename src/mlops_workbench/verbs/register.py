from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mlops_workbench.config.names import check_name
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, Model, RunName

if TYPE_CHECKING:
    from mlops_workbench.registry.model_list import Version
    from mlops_workbench.session import Session


@verb(stage="registry", effect="kernel", example="register model --name flights")
def register(
    session: Session,
    model: Annotated[
        Any,
        Opt(
            "variable that holds the model (of a script: with its run), runs:/… or models:/… of a logged one, or a "
            ".skops file",
            offer="variable",
        ),
    ],
    *,
    name: Annotated[Model, Opt("name to register under", flags=("-n",))],
    run: Annotated[RunName | None, Opt("run that made it (default: the run whose cell did)")] = None,
    data: Annotated[Data, Opt("DataFrame it was fitted on (default: the run's)", flags=("-d",))] = None,
    evaluate: Annotated[Data, Opt("held-out DataFrame (default: the run's)", flags=("--eval", "-e"))] = None,
    target: Annotated[str | None, Opt("label column (default: the run's)")] = None,
    positive: Annotated[
        str | None,
        Opt("of two classes the one that F1, precision and recall are of (default: the run's, else [model])"),
    ] = None,
    format: Annotated[
        Literal["skops", "cloudpickle"],
        Opt("of a scikit-learn model: skops (safe to load) or cloudpickle (runs code when loaded)"),
    ] = "skops",
) -> Version:
    """Keep a model as a new version, after the serving runtime answered as the notebook does."""
    from mlops_workbench.jobs import queue
    from mlops_workbench.registry import makers, registering
    from mlops_workbench.rollout import judging
    from mlops_workbench.verbs.models import described

    check_name(name, "model")
    session.progress("looking at the model")
    judging.warm()
    given = session.tracking.run(run) if run else None
    fitted, label, made_by = registering.resolve_model(model, session.namespace, session.tracking, given)
    made_by = made_by or registering.logged_by(fitted, session.tracking) or session.run_of(fitted)
    if given is not None and made_by != given.id:
        makers.require_made_by(session, fitted, label, given)
        made_by = given.id
    stored = registering.register(
        session,
        fitted,
        label,
        registering.RegisterRequest(
            name=name,
            data=data,
            evaluate=evaluate,
            target=target,
            serialization=format,
            positive=positive,
        ),
        run=session.tracking.run(made_by) if made_by else None,
        runtime=judging.RUNTIME,
    )
    if session.job is not None:
        queue.hand_back(session.store, session.job, stored.name, stored.version)
    return described(session, (stored,))[0]
