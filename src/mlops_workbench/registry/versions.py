"""Versions: registering a fitted model with all that serving, gate and drift will need, and listing them."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, InvalidModel, closest
from mlops_workbench.base.values import plain
from mlops_workbench.data.forms import for_model, reads_texts
from mlops_workbench.data.kinds import kind_of
from mlops_workbench.data.rows import require_finite, to_rows
from mlops_workbench.manifest import Field, Manifest, Task, file_sha256
from mlops_workbench.registry import proof, referencing
from mlops_workbench.registry.proof import Answers
from mlops_workbench.track import served_estimator
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking
from mlops_workbench.track.writing import ModelFormat, save_sklearn

if TYPE_CHECKING:
    import pandas as pd

Predictor = Callable[[Sequence[Mapping[str, Any]]], Answers]
"""A loaded model: rows as JSON would carry them → answers."""


@dataclass(frozen=True)
class ServingRuntime:
    """The real serving runtime; handed in by the verb."""

    load: Callable[[Path], Predictor]
    """a model folder → what answers, in a fresh process"""
    compile_fast_path: Callable[
        [Path, Any, Manifest, Mapping[str, Sequence[Mapping[str, Any]]], Predictor], dict[str, Any]
    ]
    """makes and proves the fast path of a model in a folder, given rows keyed by split: train, held-out, and what
    `load` made of the folder. Returns the record that the manifest keeps (`fastpath.proving.Proof`)"""
    open_pyfunc: Callable[[Path], Any]
    """a folder → MLflow's `PyFuncModel`"""
    read_pyfunc: Callable[[Any, int], list[Any]]
    """what that answers for so many rows → one plain value a row"""
    load_skops: Callable[[bytes], Any]
    """a skops file → its model. Raises an exception with `names` for what is on no list of trusted names"""
    untrusted: Callable[[bytes], Sequence[str]]
    """a skops file → the names that keep it from being loaded; nothing is made for the question"""


@dataclass(frozen=True)
class NewModel:
    """A model on its way into the registry: under which name, what it is called in messages, and the run it is of."""

    name: str
    label: str
    run_id: str | None
    positive: Any = None
    """of two classes the one that counts; None: the last"""


@dataclass(frozen=True, slots=True)
class KeptModel:
    """`source`: where MLflow keeps it; `sha256`: of the model's file; `fast`: the record of its fast path;
    `manifest`: SHA-256 of `workbench.json`."""

    source: str
    sha256: str
    fast: Mapping[str, Any]
    manifest: str


@dataclass(frozen=True)
class Inspected:
    """A model looked at before it is kept."""

    model: Any
    task: Task
    classes: tuple[Any, ...]
    features: tuple[str, ...]
    inputs: tuple[Field, ...]
    target: str | None
    sample: tuple[dict[str, Any], ...]
    expected: tuple[Any, ...]
    expected_probabilities: tuple[tuple[float, ...], ...]
    frame: Any
    null_is_none: tuple[str, ...]
    """text columns whose missing values are None, not NaN: to a OneHotEncoder these are two categories"""
    types: ColumnTypes
    proof: Any
    """rows that it must answer where it is served as it does here"""
    right: proof.NotebookAnswers
    unread: tuple[str, ...] = ()
    """columns that it was fitted with and does not read"""


@dataclass(frozen=True)
class ColumnTypes:
    """What of a column's type its kind does not say. `zones`: of times; `categories`: values of a pandas category, in
    their order; `numbers`: booleans that the model takes as numbers."""

    zones: Mapping[str, str]
    categories: Mapping[str, list[Any]]
    numbers: tuple[str, ...] = ()

    def to_extra(self) -> dict[str, Any]:
        """As the manifest keeps it: only what there is."""
        found = {
            "zones": dict(self.zones),
            "categories": dict(self.categories),
            "as_numbers": list(self.numbers),
        }
        return {name: value for name, value in found.items() if value}


BOOSTERS = ("lightgbm", "xgboost", "catboost")
"""they read a category by its place among all, and booleans as numbers; scikit-learn reads values"""


def takes_categories(model: Any) -> bool:
    """Whether the model, or a part of it, is a booster of another library."""
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    return any(type(part).__module__.startswith(BOOSTERS) for part in (model, *params.values()))


def column_types(frame: pd.DataFrame, features: Sequence[str], *, categories: bool) -> ColumnTypes:
    """`categories`: whether the model reads categories and booleans as boosters do. Raises `InvalidData`."""
    import pandas as pd

    zones: dict[str, str] = {}
    known: dict[str, list[Any]] = {}
    booleans: list[str] = []
    for name in features:
        dtype = frame[name].dtype
        if isinstance(dtype, pd.DatetimeTZDtype):
            zones[name] = _zone(name, dtype.tz)
        elif categories and isinstance(dtype, pd.CategoricalDtype):
            known[name] = plain(dtype.categories.tolist())
        elif categories and pd.api.types.is_bool_dtype(dtype):
            booleans.append(name)
    return ColumnTypes(zones, known, tuple(booleans))


def _zone(name: str, zone: Any) -> str:
    """What the zone is called, which must name it everywhere."""
    import pandas as pd

    called = str(zone)
    try:
        if str(pd.DatetimeTZDtype(tz=called).tz) == called:
            return called
    except (TypeError, ValueError, KeyError, LookupError):
        pass
    raise InvalidData(
        f"The times of '{name}' are in a zone without a name ({called[:80]}).",
        "Convert them with tz_convert to a named one, such as Europe/Vienna, and fit the model again.",
    )


def inspect(model: Any, label: str, frame: pd.DataFrame, data_name: str, target: str | None) -> Inspected:
    """What the model reads and answers, found by asking it. Raises `InvalidModel` or `InvalidData`."""
    features = features_of(model, frame, data_name, target)
    target = target_of(frame, features, data_name, target)
    task = task_of(model)
    require_finite(frame[list(features)])
    rows = proof.sample_of(frame[list(features)])
    predicted, probabilities = ask(model, rows, label)
    proven = proof.proof_rows(frame[list(features)])
    right = ask(model, proven, label)
    inputs = tuple(Field(name, kind_of(frame[name])) for name in features)
    return Inspected(
        model=model,
        task=task,
        classes=tuple(plain(list(model.classes_))) if task == "classification" else (),
        features=features,
        inputs=inputs,
        target=target,
        sample=tuple(to_rows(rows, inputs)),
        expected=tuple(plain(list(predicted))),
        expected_probabilities=tuple(tuple(map(float, p)) for p in probabilities)
        if probabilities is not None
        else (),
        frame=rows,
        null_is_none=tuple(f.name for f in inputs if f.kind == "string" and holds_none(frame[f.name])),
        types=column_types(frame, features, categories=takes_categories(model)),
        proof=proven,
        right=proof.NotebookAnswers(
            plain(list(right[0])), None if right[1] is None else [list(map(float, p)) for p in right[1]]
        ),
        unread=served_estimator.unread(model, features),
    )


def task_of(model: Any) -> Task:
    """Classification, regression, or other: what a clusterer or an outlier detector answers is neither."""
    from sklearn.base import is_clusterer, is_outlier_detector

    if hasattr(model, "classes_"):
        return "classification"
    try:
        return "other" if is_clusterer(model) or is_outlier_detector(model) else "regression"
    except AttributeError:  # no scikit-learn estimator: it has no tags
        return "regression"


def holds_none(series: Any) -> bool:
    return series.dtype == object and any(value is None for value in series[series.isna()].head(100))


def ask(model: Any, rows: pd.DataFrame, label: str) -> tuple[Any, Any]:
    """The model's answers and probabilities (or None). Raises `InvalidModel` when it cannot predict."""
    asked = for_model(model, rows)  # as the serving runtime does
    try:
        predicted = model.predict(asked)
        probabilities = model.predict_proba(asked) if hasattr(model, "predict_proba") else None
    except Exception as problem:  # whatever a model raises means the same here
        sentence = " ".join(str(problem).split())[:300]
        raise InvalidModel(
            f"'{label}' cannot predict its own data: {type(problem).__name__}: {sentence}.", "Fix the model."
        ) from None
    if getattr(predicted, "ndim", 1) == 2 and predicted.shape[1] == 1:  # fitted on a frame of one column
        predicted = predicted[:, 0]
    if getattr(predicted, "ndim", 1) != 1:
        raise InvalidModel(
            f"'{label}' answers with {predicted.shape[1]} values a row; one is served.",
            "Fit one model a target.",
        )
    return predicted, probabilities


def features_of(model: Any, frame: pd.DataFrame, data_name: str, target: str | None) -> tuple[str, ...]:
    """The columns the model reads: what it was fitted with, else all but the label. Raises `InvalidData`."""
    named = getattr(model, "feature_names_in_", None)
    if named is not None:
        unread = served_estimator.unread(model, tuple(named))
        missing = [str(n) for n in named if n not in frame.columns and n not in unread]
        if missing:
            raise InvalidData(
                f"'{data_name}' has no column '{missing[0]}', which the model was fitted with.",
                closest(missing[0], frame.columns),
            )
        return tuple(str(n) for n in named if n in frame.columns)
    columns = tuple(c for c in frame.columns if c != target)
    wanted = getattr(model, "n_features_in_", None)
    if target is None and wanted != len(columns):
        raise InvalidData(
            f"The model reads {wanted or 'an unknown number of'} columns and does not keep their names, so which of "
            f"the {len(columns)} columns of '{data_name}' is the label is not clear.",
            "Say which it is: the option target.",
        )
    if wanted is not None and wanted != len(columns):
        raise InvalidData(
            f"The model reads {wanted} columns, '{data_name}' has {len(columns)} beside the label.",
            "Fit the model on a DataFrame, so that it keeps the names of its columns.",
        )
    return columns


def target_of(frame: pd.DataFrame, features: Sequence[str], data_name: str, target: str | None) -> str | None:
    """The label column: the one asked for, or the only one that the model does not read. Raises `InvalidData`."""
    if target is not None:
        if target not in frame.columns:
            raise InvalidData(f"'{data_name}' has no column '{target}'.", closest(target, frame.columns))
        if target in features:
            raise InvalidData(
                f"The model reads the label column '{target}' itself.", "Fit it without that column."
            )
        return target
    rest = [c for c in frame.columns if c not in features]
    if len(rest) > 1:
        named = ", ".join(f"'{c}'" for c in rest[:6])
        raise InvalidData(
            f"'{data_name}' has {len(rest)} columns that the model does not read: {named}.",
            "Say which is the label: the option target.",
        )
    return rest[0] if rest else None


def trusted_types(model: Any, label: str, runtime: ServingRuntime) -> tuple[str, ...]:
    """Type names that skops must be allowed to load, all of which the serving runtime trusts.

    Raises `InvalidModel` for others, with the remedy: that the model was made here is no reason to trust more.
    """
    import skops.io

    try:
        data = skops.io.dumps(model)
        # Which of these skops trusts by itself depends on what was imported before it.
        found = sorted({*skops.io.get_untrusted_types(data=data), *_experimental(data)})
        foreign = [*runtime.untrusted(data)]
    except Exception as problem:
        raise InvalidModel(
            f"'{label}' cannot be kept as skops: {' '.join(str(problem).split())[:300]}.",
            "Choose the format cloudpickle if you trust everyone who can write to the store.",
        ) from None
    own = [n for n in foreign if n.startswith("__main__.")]
    if own:
        raise InvalidModel(
            f"'{label}' holds {own[0]}, which is defined in the notebook and cannot be loaded elsewhere.",
            "Move it to a module that is installed, or choose the format cloudpickle.",
        )
    if foreign:
        raise InvalidModel(
            f"'{label}' holds {', '.join(foreign[:3])}, which is on no list of types that are loaded from skops.",
            "Choose the format cloudpickle if you trust everyone who can write to the store.",
        )
    return tuple(found)


_EXPERIMENTAL = ("sklearn.impute._iterative", "sklearn.model_selection._search_successive_halving")
"""modules of estimators that scikit-learn shows only after an import of `sklearn.experimental`"""


def _experimental(data: bytes) -> set[str]:
    """Types of these modules in a skops file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        waiting = [json.loads(archive.read("schema.json"))]
    found = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            if node.get("__module__") in _EXPERIMENTAL:
                found.add(f"{node['__module__']}.{node['__class__']}")
    return found


def keep(
    tracking: Tracking,
    looked: Inspected,
    model: Any,
    new: NewModel,
    form: ModelFormat,
    *,
    runtime: ServingRuntime,
    ordinary: Mapping[str, pd.DataFrame],
) -> KeptModel:
    """Log model and manifest, prove that the serving runtime answers as the notebook does, and make its fast path.

    `model`: as it is written down (`harmless`). `ordinary`: the rows that the fast path is proven on, by what they are.
    """

    digest = described = ""
    fast: dict[str, Any] = {}

    def finish(folder: Path) -> None:
        nonlocal digest, described, fast
        file = next(p for p in folder.iterdir() if p.name.startswith("model."))
        manifest = Manifest(
            name=new.name,
            task=looked.task,
            inputs=looked.inputs,
            model_file=file.name,
            serialization="skops" if form.serialization == "skops" else "cloudpickle",
            trusted=form.trusted,
            sha256=file_sha256(file),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            requirements=form.requirements,
            target=looked.target,
            classes=looked.classes,
            sample=looked.sample,
            expected=looked.expected,
            expected_probabilities=looked.expected_probabilities,
            extra={
                "null_is_none": list(looked.null_is_none),
                **({"texts": True} if len(looked.features) == 1 and reads_texts(looked.model) else {}),
                **looked.types.to_extra(),
                **({"unread": list(looked.unread)} if looked.unread else {}),
                **form.notes,
            },
            positive=plain(new.positive),
        )
        manifest.dump(folder)
        digest = manifest.sha256
        served = runtime.load(folder)
        proof.prove(served(to_rows(looked.proof, looked.inputs)), looked.right, new.label)
        rows = {
            kind: to_rows(proof.some(frame[list(looked.features)]), looked.inputs)
            for kind, frame in ordinary.items()
        }
        fast = runtime.compile_fast_path(folder, looked.model, manifest, rows, served)
        extra = manifest.extra | {"fast": fast}
        if referencing.FITTED_ON in ordinary:
            known = referencing.reference(manifest, ordinary, lambda some: ask(looked.model, some, new.label))
            extra |= {"reference": known.dump(folder)}
        described = file_sha256(replace(manifest, extra=extra).dump(folder))

    save = save_sklearn(
        model,
        form,
        run_id=new.run_id,
        signature_rows=looked.frame.astype({f.name: float for f in looked.inputs if f.kind == "double"}),
        answers=ask(looked.model, looked.frame, new.label)[0],
        write_manifest=finish,
    )
    source = tracking.keep_model(new.name, new.run_id, save)
    return KeptModel(source, digest, fast, described)


def ordinary(
    fitted_on: pd.DataFrame, held_out: pd.DataFrame | None, features: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The rows that a fast path is proven on, by what they are: those that have all the columns the model reads."""
    known = {referencing.FITTED_ON: fitted_on, referencing.HELD_OUT: held_out}
    return {
        what: frame
        for what, frame in known.items()
        if frame is not None and set(features) <= set(frame.columns)
    }


def recorded(tracking: Tracking, stored: RegisteredVersion) -> tuple[Path, Manifest]:
    """A version's folder and manifest, which must be the one that the registry recorded; of a version from before that
    was recorded it must name the model and the fast path that were.

    The runtime checks the files against the manifest; here the manifest itself is checked. Raises `InvalidModel`.
    """
    folder = tracking.folder(stored)
    which = f"version {stored.version} of '{stored.name}'"
    try:
        manifest = Manifest.load(folder, stored.facts.manifest)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise InvalidModel(f"The manifest of {which} is refused: {problem}", "Register it again.") from None
    if manifest.sha256 != stored.facts.digest:
        raise InvalidModel(
            f"V{which[1:]} is not what was registered: its digest differs.", "Register it again."
        )
    if manifest.extra.get("fast", {}).get("sha256", "") != stored.facts.plan:
        raise InvalidModel(
            f"The fast path of {which} is not the one that was proven: its digest is not the registry's.",
            "Register it again.",
        )
    return folder, manifest
