"""MLflow's flavours: which objects and addresses are models of one, their folders, and what these say of themselves."""

from __future__ import annotations

import contextlib
import importlib
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidModel, NotFound
from mlops_workbench.manifest import FILE_NAME, Kind
from mlops_workbench.track import modules
from mlops_workbench.track.tracking import Tracking

MLMODEL = "MLmodel"
_CLASSES = {
    ("catboost", "CatBoost"): "catboost",
    ("keras", "Model"): "keras",
    ("lightgbm", "Booster"): "lightgbm",
    ("lightgbm", "LGBMModel"): "lightgbm",
    ("onnx", "ModelProto"): "onnx",
    ("paddle", "Layer"): "paddle",
    ("pmdarima", "BaseARIMA"): "pmdarima",
    ("prophet", "Prophet"): "prophet",
    ("spacy", "Language"): "spacy",
    ("statsmodels", "ResultsWrapper"): "statsmodels",
    ("statsmodels", "Results"): "statsmodels",
    ("tensorflow", "Module"): "tensorflow",
    ("torch", "Module"): "pytorch",
    ("xgboost", "Booster"): "xgboost",
    ("xgboost", "XGBModel"): "xgboost",
}
"""(package, class) of the models that MLflow saves by itself → its flavour"""


@dataclass(frozen=True)
class Logged:
    """A model that MLflow keeps already. `address`: `runs:/…`, `models:/…` or a folder; `run_id`: who logged it."""

    address: str
    run_id: str | None = None


@dataclass(frozen=True)
class SignatureColumn:
    """An input of a model's signature; `name` is empty where it names none. `dtype`: as the model takes it."""

    name: str
    kind: Kind
    dtype: str
    nullable: bool


def flavour_of(model: Any) -> str:
    """MLflow's flavour of an object, by the names of its classes; empty if none. Imports nothing."""
    for cls in type(model).__mro__:
        package = cls.__module__.partition(".")[0]
        if cls.__module__.startswith("mlflow.pyfunc") and cls.__name__ in ("PythonModel", "PyFuncModel"):
            return "python_function"
        if found := _CLASSES.get((package, cls.__name__)):
            return found
    return ""


def models_in(names: Sequence[str] | set[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Models of MLflow's flavours among these variables."""
    return {n: namespace[n] for n in sorted(names) if n in namespace and flavour_of(namespace[n])}


def logged(text: str, tracking: Tracking) -> Logged | None:
    """What an address or a folder stands for; None for another text. A run may be called by its name."""
    if text.startswith("runs:/"):
        run, _, path = text.removeprefix("runs:/").partition("/")
        found = tracking.run(run)
        return Logged(f"runs:/{found.id}/{path}", found.id)
    if text.startswith("models:/"):
        return Logged(text, tracking.made_by(text))
    folder = Path(text).expanduser()
    return Logged(str(folder.resolve())) if (folder / MLMODEL).is_file() else None


def address_of(model: Any, tracking: Tracking) -> Logged | None:
    """Where a model that MLflow has loaded came from; None for one that was never loaded. Raises `NotFound`."""
    if not (flavour_of(model) == "python_function" and hasattr(model, "metadata")):
        return None
    known = model.metadata
    if known.model_id:
        address = f"models:/{known.model_id}"
    elif known.run_id and known.artifact_path:
        address = f"runs:/{known.run_id}/{known.artifact_path}"
    else:
        raise NotFound(
            "This model was loaded from a folder, and does not keep from which.", "Give the folder itself."
        )
    return Logged(address, tracking.made_by(address))


def copy(given: Logged, tracking: Tracking, scratch: Path) -> Path:
    """The model's folder, copied below `scratch`: without links, caches, and what is no part of it."""
    (scratch / "fetched").mkdir()
    local = Path(given.address)
    found = local if local.is_absolute() else tracking.fetch(given.address, scratch / "fetched")
    if not (found / MLMODEL).is_file():
        raise NotFound(f"'{given.address}' holds no {MLMODEL} file.", "Give the address of a logged model.")
    beside = shutil.ignore_patterns("__pycache__", FILE_NAME, "registered_model_meta")
    return Path(shutil.copytree(found, scratch / "model", ignore=beside))


def save(model: Any, folder: Path, requirements: Sequence[str], needs: modules.Needed) -> None:
    """An object as its flavour keeps it, with the local modules that it needs. Raises `InvalidModel`."""
    flavour = flavour_of(model)
    with calm(), modules.shipped(needs, type(model).__name__):
        try:
            if flavour == "python_function":
                import mlflow.pyfunc

                mlflow.pyfunc.save_model(folder, python_model=model, pip_requirements=list(requirements))
            else:
                module = importlib.import_module(f"mlflow.{flavour}")
                module.save_model(model, folder, pip_requirements=list(requirements))
        except Exception as problem:  # a flavour raises whatever its library does
            raise InvalidModel(
                f"MLflow's flavour '{flavour}' cannot keep it: {type(problem).__name__}: "
                f"{' '.join(str(problem).split())[:300]}.",
                "Log it yourself inside a run, and give its address.",
            ) from None


def stamp(folder: Path, model_id: str, run_id: str | None) -> None:
    """Write into the folder which logged model it is now."""
    from mlflow.models import Model

    model = Model.load(str(folder))
    model.model_id, model.run_id = model_id, run_id
    model.save(str(folder / MLMODEL))


def native(folder: Path) -> Any | None:
    """The scikit-learn model in the folder; None if it is of another flavour."""
    from mlflow.models import Model

    if "sklearn" not in Model.load(str(folder)).flavors:
        return None
    import mlflow.sklearn

    with calm():
        return mlflow.sklearn.load_model(str(folder))


def name_of(folder: Path) -> str:
    """The flavour that it was logged with, before `python_function`, which all have."""
    from mlflow.models import Model

    return next((f for f in Model.load(str(folder)).flavors if f != "python_function"), "python_function")


def signature_of(folder: Path) -> tuple[SignatureColumn, ...] | None:
    """The inputs that the model's signature names; None if it has none. Raises `InvalidModel`."""
    from mlflow.models import Model

    schema = Model.load(str(folder)).get_input_schema()
    if schema is None:
        return None
    found: list[SignatureColumn] = []
    for spec in schema.inputs:
        found += _tensor(spec) if schema.is_tensor_spec() else [_column(spec)]
    return tuple(found)


_KINDS: dict[str, tuple[Kind, str]] = {
    "boolean": ("boolean", "bool"),
    "integer": ("long", "int32"),
    "long": ("long", "int64"),
    "float": ("double", "float32"),
    "double": ("double", ""),
    "string": ("string", ""),
    "datetime": ("datetime", ""),
}


def _column(spec: Any) -> SignatureColumn:
    name = spec.name or ""
    word = getattr(spec.type, "name", str(spec.type))
    if word not in _KINDS:
        raise InvalidModel(
            f"The input '{name}' of the model's signature is {spec.type}; a served column holds one value.",
            "Log the model with a signature of plain columns.",
        )
    kind, dtype = _KINDS[word]
    required = bool(spec.required)
    if kind == "long" and not required:
        kind = "double"
    return SignatureColumn(name, kind, dtype, nullable=not (required and kind in ("long", "boolean")))


def _tensor(spec: Any) -> list[SignatureColumn]:
    """A matrix is a column each, without names; a vector is a column of its name."""
    shape, dtype = tuple(spec.shape), str(spec.type)
    wide = len(shape) == 2 and shape[1] >= 1 and not (spec.name and shape[1] != 1)
    if not (len(shape) == 1 or wide) or spec.type.kind not in "fiub":
        raise InvalidModel(
            f"The input '{spec.name or ''}' of the model's signature is a tensor {shape} of {dtype}; "
            "rows of columns are served.",
            "Log the model with an input of the shape (-1, columns).",
        )
    kind: Kind = {"f": "double", "b": "boolean"}.get(spec.type.kind, "long")  # type: ignore[assignment]
    one = SignatureColumn(
        spec.name or "", kind, "" if dtype == "float64" else dtype, nullable=kind == "double"
    )
    return [one] * (shape[1] if len(shape) == 2 else 1)


def requirements_of(folder: Path) -> tuple[str, ...]:
    """The lines of the model's own requirements."""
    path = folder / "requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return tuple(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """MLflow warns of what is dealt with here: pickles, missing type hints, requirements that differ."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
