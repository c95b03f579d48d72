"""Versions of models that are not scikit-learn's: an MLflow model of any flavour, kept whole and served by `pyfunc`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, InvalidModel, closest
from mlops_workbench.base.values import plain
from mlops_workbench.data.kinds import kind_of
from mlops_workbench.data.rows import require_finite, to_rows
from mlops_workbench.manifest import Field, Manifest, Task, file_sha256, tree_sha256
from mlops_workbench.registry import proof, referencing, versions
from mlops_workbench.registry.fastpath.proving import FastPathProof
from mlops_workbench.registry.versions import KeptModel, NewModel, ServingRuntime
from mlops_workbench.track import flavours, modules, requirements
from mlops_workbench.track.flavours import Logged, SignatureColumn
from mlops_workbench.track.tracking import Tracking

if TYPE_CHECKING:
    import pandas as pd


_ASKED = 1_000
"""rows whose answers decide the task"""
_REFERENCE_ROWS = 2_000
"""whose answers the reference holds: they go through JSON, one by one"""
_MOST_LABELS = 100
_GAPLESS = ("int", "uint", "bool")


@dataclass(frozen=True)
class Looked:
    """A model looked at before it is kept; what `versions.Inspected` is for scikit-learn's."""

    task: Task
    classes: tuple[Any, ...]
    features: tuple[str, ...]
    inputs: tuple[Field, ...]
    dtypes: dict[str, str]
    target: str | None
    sample: tuple[dict[str, Any], ...]
    expected: tuple[Any, ...]
    null_is_none: tuple[str, ...]
    types: versions.ColumnTypes
    proof: Any
    """rows that it must answer where it is served as it does here"""
    right: proof.NotebookAnswers


def prepare(model: Any, tracking: Tracking, scratch: Path) -> Path:
    """The MLflow model's folder below `scratch`, fetched or saved by its flavour. Raises `InvalidModel`, `NotFound`."""
    known = model if isinstance(model, Logged) else flavours.address_of(model, tracking)
    if known is not None:
        return flavours.copy(known, tracking, scratch)
    ours = flavours.flavour_of(model) == "python_function"
    needs = modules.needed(model)
    wanted = needs.installed - {"mlflow"} | ({"cloudpickle"} if ours else set())
    folder = scratch / "model"
    flavours.save(model, folder, requirements.distributions_of(wanted), needs)
    return folder


def keep(
    tracking: Tracking,
    folder: Path,
    rows: Mapping[str, pd.DataFrame],
    new: NewModel,
    *,
    data_name: str,
    target: str | None,
    runtime: ServingRuntime,
) -> tuple[Looked, KeptModel]:
    """Log folder and manifest as a new model, after the serving runtime answered as the notebook does. `rows`: that it
    was fitted on, and held-out ones if there are any."""
    label, frame = new.label, rows[referencing.FITTED_ON]
    looked = look(
        _opened(folder, label, runtime), folder, label, frame, data_name, target, runtime.read_pyfunc
    )
    needed = requirements.for_mlflow_model(flavours.requirements_of(folder), label)
    flavour = flavours.name_of(folder)
    fast = FastPathProof(False, f"it is served through MLflow's pyfunc ({flavour})").to_dict()
    digest = described = ""

    def finish(place: Path, model_id: str) -> None:
        nonlocal digest, described
        shutil.copytree(folder, place)
        flavours.stamp(place, model_id, new.run_id)
        digest = tree_sha256(place)
        manifest = Manifest(
            name=new.name,
            task=looked.task,
            inputs=looked.inputs,
            model_file=flavours.MLMODEL,
            serialization="pyfunc",
            trusted=(),
            sha256=digest,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            requirements=needed,
            target=looked.target,
            classes=looked.classes,
            sample=looked.sample,
            expected=looked.expected,
            extra={
                "null_is_none": list(looked.null_is_none),
                **looked.types.to_extra(),
                "dtypes": looked.dtypes,
                "flavour": flavour,
                "fast": fast,
            },
        )
        manifest.dump(place)
        served = runtime.load(place)
        proof.prove(served(to_rows(looked.proof, looked.inputs)), looked.right, label)
        _prove_alone(manifest, served, label)

        def ask(some: pd.DataFrame) -> tuple[Sequence[Any], Any]:
            answers = served(to_rows(some, looked.inputs))
            return answers.values, answers.probabilities

        known = referencing.reference(manifest, rows, ask, most=_REFERENCE_ROWS)
        extra = manifest.extra | {"reference": known.dump(place)}
        described = file_sha256(replace(manifest, extra=extra).dump(place))
        if tree_sha256(place) != digest:
            raise InvalidModel(
                f"'{label}' changes its own files when it is asked.", "Let it write somewhere else."
            )

    source = tracking.keep_model(new.name, new.run_id, finish)
    return looked, KeptModel(source, digest, fast, described)


def look(
    model: Any,
    folder: Path,
    label: str,
    frame: pd.DataFrame,
    data_name: str,
    target: str | None,
    read: Callable[[Any, int], list[Any]],
) -> Looked:
    """What the model reads and answers, by its signature and by asking it. Raises `InvalidModel`, `InvalidData`."""
    columns = flavours.signature_of(folder)
    features = _features(model, columns, label, frame, data_name, target)
    target = versions.target_of(frame, features, data_name, target)
    inputs = _inputs(columns, frame, features)
    rows = frame[list(features)]
    require_finite(rows)
    sample = proof.sample_of(rows)
    gapless = [f.name for f in inputs if not f.nullable]
    if gaps := [n for n in gapless if rows[n].isna().any()]:
        raise InvalidData(
            f"The column '{gaps[0]}' of '{data_name}' has gaps; the model's signature says that it has none.",
            "Log the model with a signature inferred from such rows.",
        )
    booster = columns is None and flavours.name_of(folder) in versions.BOOSTERS
    types = versions.column_types(frame, features, categories=booster)
    dtypes = {n: d for n, d in _types(columns, frame, features).items() if n not in types.categories}
    expected = _asked(model, _typed(sample, dtypes), label, read)
    proven = proof.proof_rows(rows)
    right = proof.NotebookAnswers(plain(_asked(model, _typed(proven, dtypes), label, read)))
    some = _typed(proof.some(rows, _ASKED), dtypes)
    task, classes = _task(_asked(model, some, label, read), frame[target] if target else None)
    return Looked(
        task=task,
        classes=classes,
        features=features,
        inputs=inputs,
        dtypes=dtypes,
        target=target if task != "other" else None,
        sample=tuple(to_rows(sample, inputs)),
        expected=tuple(plain(expected)),
        null_is_none=tuple(
            f.name for f in inputs if f.kind == "string" and versions.holds_none(frame[f.name])
        ),
        types=types,
        proof=proven,
        right=right,
    )


def _opened(folder: Path, label: str, runtime: ServingRuntime) -> Any:
    try:
        with flavours.calm():
            return runtime.open_pyfunc(folder)
    except Exception as problem:  # a flavour raises whatever its library does
        raise InvalidModel(
            f"MLflow cannot load '{label}': {type(problem).__name__}: {' '.join(str(problem).split())[:300]}.",
            "Only models with the flavour python_function are served.",
        ) from None


def _features(
    model: Any,
    columns: Sequence[SignatureColumn] | None,
    label: str,
    frame: pd.DataFrame,
    data_name: str,
    target: str | None,
) -> tuple[str, ...]:
    """The columns that the model reads: of its signature, of the model itself, else all but the label."""
    rest = tuple(map(str, (c for c in frame.columns if c != target)))
    if columns is not None and all(c.name for c in columns):
        named = tuple(c.name for c in columns)
        if missing := [n for n in named if n not in frame.columns]:
            raise InvalidData(
                f"'{data_name}' has no column '{missing[0]}', which the model's signature names.",
                closest(missing[0], frame.columns),
            )
        return named
    if columns is not None:
        if len(columns) != len(rest):
            raise InvalidData(
                f"The model's signature has {len(columns)} columns without names, '{data_name}' has {len(rest)}"
                f"{' beside the label' if target else ''}.",
                "Say which column is the label (target), or log the model with names.",
            )
        return rest
    own = _own_names(model)
    if own and set(own) <= set(rest):
        return own
    if target is None:
        raise InvalidData(
            f"'{label}' has no signature, so which of the columns of '{data_name}' it reads is not known.",
            "Say which is the label: the option target. Or log it with a signature.",
        )
    return rest


def _own_names(model: Any) -> tuple[str, ...]:
    """The names that a native model keeps, as boosters do; empty if it keeps none."""
    try:
        native = model.get_raw_model()
    except Exception:  # not every flavour has it
        return ()
    for attribute in ("feature_names_in_", "feature_names", "feature_name"):
        found = getattr(native, attribute, None)
        found = found() if callable(found) else found
        if found is not None and len(found):
            return tuple(map(str, found))
    return ()


def _inputs(
    columns: Sequence[SignatureColumn] | None, frame: pd.DataFrame, features: Sequence[str]
) -> tuple[Field, ...]:
    if columns is None:
        return tuple(Field(name, kind_of(frame[name])) for name in features)
    return tuple(Field(n, c.kind, c.nullable) for n, c in zip(features, columns, strict=True))


def _types(
    columns: Sequence[SignatureColumn] | None, frame: pd.DataFrame, features: Sequence[str]
) -> dict[str, str]:
    """Types that the runtime gives columns: the signature's, else those that they have here, if it matters."""
    if columns is not None:
        return {n: c.dtype for n, c in zip(features, columns, strict=True) if c.dtype}
    found = {name: str(frame[name].dtype) for name in features}
    kept = (*_GAPLESS, "float32", "category", "string", "Int", "UInt", "Float", "boolean")
    return {name: dtype for name, dtype in found.items() if dtype.startswith(kept)}


def _typed(rows: pd.DataFrame, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """As the signature wants them: MLflow refuses a number of 64 bits where it names one of 32."""
    whole = {n: d for n, d in dtypes.items() if not (d.startswith(_GAPLESS) and rows[n].isna().any())}
    return rows.astype(whole)


def _asked(model: Any, rows: pd.DataFrame, label: str, read: Callable[[Any, int], list[Any]]) -> list[Any]:
    """Raises `InvalidModel` when the model cannot answer."""
    try:
        return read(model.predict(rows.copy()), len(rows))
    except Exception as problem:  # whatever a model raises means the same here
        sentence = " ".join(str(problem).split())[:300]
        raise InvalidModel(
            f"'{label}' cannot predict its own data: {type(problem).__name__}: {sentence}.",
            "Fix the model, or say which column is the label (target).",
        ) from None


def _task(answers: Sequence[Any], truth: Any) -> tuple[Task, tuple[Any, ...]]:
    """Labels if the answers are texts, truth values or whole numbers as the label column holds them; numbers if both
    are numbers; else neither, which no gate can measure."""
    if truth is None or any(isinstance(a, dict | list) or a is None for a in answers):
        return "other", ()
    known = plain(list(truth.dropna().unique()))
    types, kinds = {type(a) for a in answers}, {type(k) for k in known}
    labels = types == kinds and len(types) == 1 and types <= {str, bool, int}
    both = {*answers, *known}
    if labels and len(both) <= _MOST_LABELS and (int not in types or set(answers) <= set(known)):
        return "classification", tuple(sorted(both))
    numbers = {int, float}
    return ("regression", ()) if types <= numbers and kinds <= {*numbers, bool} else ("other", ())


def _prove_alone(manifest: Manifest, served: versions.Predictor, label: str) -> None:
    """Requests that come together are asked together: an answer must not depend on its neighbours."""
    alone = [value for row in manifest.sample for value in served([row]).values]
    if any(not proof.alike(a, b) for a, b in zip(alone, manifest.expected, strict=True)):
        raise InvalidModel(
            f"'{label}' answers a row otherwise when it is asked alone; requests that come together are one call.",
            "Let each answer depend on its own row only.",
        )


__all__ = ["Looked", "keep", "look", "prepare"]
