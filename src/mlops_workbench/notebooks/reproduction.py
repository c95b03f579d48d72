"""`reproduce`: make a version again from its records alone, and compare what comes out with what is in use.

An environment from the locked requirements, the recorded cells (those that the run's cell depends on), the
snapshots of its rows, the recorded commit with its uncommitted changes; papermill runs it in a folder outside of
the project, so that nothing in it can touch production.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import JobFailed
from mlops_workbench.base.progress import Progress
from mlops_workbench.base.values import Html, Value, html_table
from mlops_workbench.config.project import Project
from mlops_workbench.data import files, snapshots
from mlops_workbench.notebooks import engine, environments
from mlops_workbench.notebooks.recipe import Recipe
from mlops_workbench.track import metrics as measures
from mlops_workbench.track import slicing
from mlops_workbench.track.records import CHANGES, Run

ANSWERS = "answers.json"
VERDICTS = ("equal", "equal within tolerance", "different")


@dataclass(frozen=True)
class Reproduction(Value):
    """Whether a version came out again.

    `labels`: rows answered otherwise; `largest`: greatest difference of a number or probability.
    """

    model: str
    version: int
    verdict: str
    tolerance: float
    rows: int
    labels: int
    largest: float
    metrics: Mapping[str, tuple[float | None, float | None]]
    differences: tuple[str, ...]
    packages: int
    python: str
    seconds: float
    notebook: str

    @property
    def title(self) -> str:
        return f"Version {self.version} of '{self.model}' made again: {self.verdict}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        rows = [
            ["answers", f"{self.labels:,} of {self.rows:,} rows answered otherwise"],
            ["largest difference", f"{self.largest:.3g} (tolerance {self.tolerance:g})"],
        ]
        rows += [[name, f"{_figure(a)} → {_figure(b)}"] for name, (a, b) in self.metrics.items()]
        rows += [["differs", d] for d in self.differences]
        rows += [
            ["environment", f"Python {self.python}, {self.packages} packages, in {self.seconds:.0f} s"],
            ["notebook", self.notebook],
        ]
        return ["", ""], rows

    def _repr_html_(self) -> str:
        colour = dict(zip(VERDICTS, ("#2e8540", "#2e8540", "#d1383d"), strict=True))[self.verdict]
        heads, rows = self.table()
        verdict = Html(f'<b style="color:{colour}">{self.verdict}</b>')
        return html_table(heads, [["verdict", verdict], *rows], title=self.title)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Reproduction:
        values = dict(raw) | {"differences": tuple(raw["differences"])}
        values["metrics"] = {name: tuple(pair) for name, pair in raw["metrics"].items()}
        values.pop("outcome", None)
        return cls(**values)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def reproduce(
    project: Project, made_of: Recipe, model_folder: Path, keep: Path, tolerance: float, progress: Progress
) -> Reproduction:
    """Make it again and compare. The executed notebook is kept in `keep`. Raises `JobFailed` when it does not run."""
    started = time.monotonic()
    manifest = made_of.manifest
    with ExitStack() as made:
        place = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="reproduce-")))
        python = made.enter_context(environments.kept(made_of.requirements, manifest.python, progress))
        work = _workplace(project, made_of, place / "work")
        model = place / f"original-{manifest.model_file}"
        shutil.copyfile(model_folder / manifest.model_file, model)
        for sha256 in {*made_of.rows.values(), made_of.asked}:
            shutil.copyfile(snapshots.file(project, sha256), place / f"{sha256}.parquet")
        recipe_book = work / "reproduce.ipynb"
        _write(recipe_book, made_of, place, model, environments.kernel(python, place))
        output = keep / "reproduce.ipynb"
        keep.mkdir(parents=True, exist_ok=True)
        search = [str(environments.own_packages(place / "packages"))]
        search += [] if (work / ".git-archive").exists() else [str(project.root)]
        variables = {
            "JUPYTER_PATH": str(place),
            "PYTHONPATH": os.pathsep.join(search),
            "MLOPS_PROJECT": str(work),
        }
        if fixed := made_of.run.tags.get("seed.PYTHONHASHSEED"):  # it counts only when a process begins
            variables["PYTHONHASHSEED"] = fixed
        with _variables(variables):
            engine.execute(recipe_book, output, {}, progress)
        answers = json.loads((place / ANSWERS).read_text())
    return _compared(project, made_of, answers, tolerance, time.monotonic() - started, str(output))


def _workplace(project: Project, made_of: Recipe, work: Path) -> Path:
    """A folder with the files of the recorded commit and its uncommitted changes; empty without git.

    It is a project of its own with its own stores, so that a verb in a cell finds nothing of production.
    """
    work.mkdir()
    commit = made_of.run.tags.get("git.commit")
    if commit and _git(project.root, work, commit):
        (work / ".git-archive").touch()
        if made_of.changes.strip():
            (work.parent / CHANGES).write_bytes(made_of.changes)
            done = subprocess.run(
                ["git", "apply", "--whitespace=nowarn", str(work.parent / CHANGES)],
                cwd=work, capture_output=True, text=True, check=False,
                env=dict(os.environ) | {"GIT_CEILING_DIRECTORIES": str(work.parent)},
            )  # fmt: skip
            if done.returncode:
                raise JobFailed(
                    f"The uncommitted changes do not fit commit {commit[:10]}: {done.stderr.strip()[-300:]}."
                )
    for name, sha256 in made_of.files.rows.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if files.is_parquet(path):
            shutil.copyfile(snapshots.file(project, sha256), path)
        else:
            files.write(snapshots.find(project, sha256), path)
    (work / "mlops.toml").write_text(f'[project]\nname = "{project.name}"\n')
    return work


def _git(root: Path, work: Path, commit: str) -> bool:
    """The commit's files below the project's folder into `work`; False when it is not to be had."""
    archive = work.parent / "commit.tar"
    done = subprocess.run(
        ["git", "-C", str(root), "archive", "--output", str(archive), f"{commit}"],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return False
    shutil.unpack_archive(archive, work, filter="data")
    return True


_HEAD = """\
import json as _json
from pathlib import Path as _Path
from mlops_workbench.data import forms as _forms
from mlops_workbench.data import parquet as _parquet

def _rows(sha256, form="frame"):
    return _forms.restored(_parquet.read(_Path({place!r}) / (sha256 + ".parquet")), form)
"""

_TAIL = """\
import sys as _sys
if {format!r} == "skops":
    import skops.io as _loader
    _original = _loader.load({model!r}, trusted={trusted!r})
else:
    import cloudpickle as _loader
    with open({model!r}, "rb") as _file:
        _original = _loader.load(_file)

def _answers(model):
    asked = _rows({asked!r})
    asked = _forms.for_model(model, asked[[name for name in {columns!r} if name in asked.columns]])
    probabilities = model.predict_proba(asked).tolist() if hasattr(model, "predict_proba") else None
    return {{"values": model.predict(asked).tolist(), "probabilities": probabilities}}

_found = {{"again": _answers({variable}), "original": _answers(_original), "python": _sys.version.split()[0]}}
with open({out!r}, "w") as _file:
    _json.dump(_found, _file, default=str)
"""


def _write(path: Path, made_of: Recipe, place: Path, model: Path, kernel: str) -> None:
    """The notebook: the rows, the earlier cells that are needed, the rows again, the run's cell, the question."""
    import nbformat

    *kept, last = (slicing.runnable(made_of.cells[place]) for place in made_of.needed)
    rows = "\n".join(
        f"{name} = _rows({sha256!r}, {made_of.forms.get(name, 'frame')!r})"
        for name, sha256 in made_of.rows.items()
    )
    manifest = made_of.manifest
    head = _HEAD.format(place=str(place))
    tail = _TAIL.format(
        format=manifest.serialization,
        model=str(model),
        trusted=list(manifest.trusted),
        asked=made_of.asked,
        columns=manifest.columns,
        variable=made_of.variable,
        out=str(place / ANSWERS),
    )
    sources = [head, *([rows] if kept and rows else []), *kept, rows, last, tail]
    cells = [nbformat.v4.new_code_cell(source) for source in sources if source.strip()]
    title = f"# {made_of.stored.name}, version {made_of.stored.version}, made again from its records"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(title), *cells])
    book.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(book, str(path))


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """The environment of the kernel: nothing in it points at the project's records."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environments.clean_variables_of(before) | dict(values))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _compared(
    project: Project,
    made_of: Recipe,
    answers: Mapping[str, Any],
    tolerance: float,
    seconds: float,
    notebook: str,
) -> Reproduction:
    import numpy as np

    manifest = made_of.manifest
    again, original = answers["again"], answers["original"]
    numbers = manifest.task != "classification"
    largest, labels = 0.0, 0
    if numbers:
        gaps = np.abs(np.asarray(again["values"], dtype=float) - np.asarray(original["values"], dtype=float))
        largest = float(gaps.max(initial=0.0))
        labels = int((gaps > tolerance).sum())
    else:
        labels = sum(a != b for a, b in zip(again["values"], original["values"], strict=True))
        if again["probabilities"] is not None and original["probabilities"] is not None:
            a, b = np.asarray(again["probabilities"]), np.asarray(original["probabilities"])
            largest = float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else float("inf")
    figures = _metrics(project, made_of, again)
    same_figures = all(
        recorded is None or (now is not None and abs(now - recorded) <= tolerance)
        for recorded, now in figures.values()
    )
    if labels == 0 and largest == 0.0 and same_figures:
        verdict = VERDICTS[0]
    else:
        verdict = VERDICTS[1] if labels == 0 and largest <= tolerance and same_figures else VERDICTS[2]
    return Reproduction(
        model=made_of.stored.name,
        version=made_of.stored.version,
        verdict=verdict,
        tolerance=tolerance,
        rows=len(original["values"]),
        labels=labels,
        largest=largest,
        metrics=figures,
        differences=(
            *(_unseeded(made_of.run) if verdict == VERDICTS[2] else ()),
            *_differences(made_of, answers["python"], figures, tolerance, labels),
        ),
        packages=len(made_of.requirements),
        python=answers["python"],
        seconds=round(seconds, 1),
        notebook=notebook,
    )


def _unseeded(run: Run) -> tuple[str, ...]:
    """Says that no seed was set, where that is why: nothing fixed what the fit draws at random."""
    if any(key.startswith("seed.") and key != "seed.PYTHONHASHSEED" for key in run.tags):
        return ()
    open_ones = sorted(k for k, v in run.params.items() if k.endswith("random_state") and v == "None")
    if not open_ones and any(k.endswith("random_state") for k in run.params):
        return ()  # the model's own seed is among its parameters
    return (
        f"no seed was set{f' ({open_ones[0]} is None)' if open_ones else ''}: each fit draws at random otherwise",
    )


def _metrics(
    project: Project, made_of: Recipe, again: Mapping[str, Any]
) -> dict[str, tuple[float | None, float | None]]:
    """Each metric as it was recorded with the run, and as it is now."""
    manifest = made_of.manifest
    if manifest.target is None or made_of.stored.facts.evaluate is None:
        return {}
    frame = snapshots.find(project, made_of.asked)
    truth = measures.labels_of(frame, manifest.target, manifest.classes, manifest.task)
    now = measures.evaluate(
        truth, again["values"], again["probabilities"], manifest.classes, manifest.task, manifest.positive
    )
    return {name: (made_of.run.metrics.get(name), value) for name, value in now.items()}


def _differences(
    made_of: Recipe,
    python: str,
    figures: Mapping[str, tuple[float | None, float | None]],
    tolerance: float,
    labels: int,
) -> tuple[str, ...]:
    """In what it differs, and what was not as it was then."""
    found = [f"{labels:,} rows are answered otherwise"] if labels else []
    for name, (recorded, now) in figures.items():
        if recorded is not None and (now is None or abs(now - recorded) > tolerance):
            found.append(f"{name} was {_figure(recorded)}, is {_figure(now)}")
    if not python.startswith(made_of.manifest.python + "."):
        found.append(f"Python was {made_of.manifest.python}, is {python}")
    if not made_of.requirements:
        found.append("the run recorded no environment")
    found += [f"'{name}' was written from the recorded rows" for name in made_of.files.rows]
    found += [f"'{path}' was read as it is now" for path in made_of.files.as_now]
    if not made_of.run.tags.get("git.commit"):
        found += ["modules beside the notebook are as they are now: the run recorded no git commit"]
    return tuple(found)
