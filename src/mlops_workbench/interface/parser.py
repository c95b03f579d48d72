"""The one list of verbs and options. The command line, the magics, completion, REST and the docs all read it.

A verb's arguments carry the names of the keywords of the `Workbench` method of the same name; a test
compares the two.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.config import resources

Offer = Literal["model", "version", "variable", "run", "job", "file", "contract", "verb", ""]


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument. Without `flags` it is positional. `offer` says what completion proposes."""

    name: str
    help: str
    flags: tuple[str, ...] = ()
    type: Callable[[str], Any] = str
    default: Any = None
    required: bool = False
    switch: bool = False
    repeat: bool = False
    choices: tuple[str, ...] | None = None
    metavar: str | None = None
    offer: Offer = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `in_kernel`: it acts on a variable of the notebook. `long`: REST runs it as a job."""

    name: str
    stage: str
    summary: str
    args: tuple[Arg, ...] = ()
    in_kernel: bool = False
    long: bool = False
    example: str = ""


def number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number. Got '{text}' instead.") from None


def version(text: str) -> int:
    """`3` or `v3`."""
    value = number(text.removeprefix("v"))
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a version number from 1 up. Got '{text}' instead.")
    return value


def port(text: str) -> int:
    value = number(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535. Got '{text}' instead.")
    return value


def positive(text: str) -> int:
    value = number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up. Got '{text}' instead.")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number from 0 up. Got '{text}' instead.")
    return value


def memory(text: str) -> str:
    try:
        return resources.as_memory(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{problem}.") from None


def cpus(text: str) -> float:
    try:
        return resources.as_cpus(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{problem}.") from None


def platform(text: str) -> str:
    if not re.fullmatch(r"linux/[a-z0-9_]+(/v\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be a platform such as linux/arm64. Got '{text}' instead.")
    return text


def setting(text: str) -> tuple[str, str]:
    """`name=value`, the value still as text: it is typed by whoever declares the parameter."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"must be name=value. Got '{text}' instead.")
    return name.strip(), value


_MODEL = Arg("name", "registered model", offer="model")
_MODEL_VERSION = Arg("name", "registered model, also NAME/VERSION or NAME@alias", offer="model")
_THIS = Arg("version", "version, if NAME does not say it", ("--version", "-v"), type=version, offer="version")
_VERSION = Arg(
    "version", "version (default: the champion)", ("--version", "-v"), type=version, offer="version"
)
_WHY = Arg("why", "reason, kept in the ledger", ("--why",), required=True)

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        # project
        Verb(
            "init",
            "project",
            "make this folder a project: mlops.toml (policy) and .mlops/ (state)",
            (Arg("name", "name of the project"),),
            example="init flights",
        ),
        Verb("status", "project", "what is in production, what runs, what needs a look"),
        Verb("doctor", "project", "check the set-up: stores, Docker, packages, and what to do about each"),
        # data
        Verb(
            "validate",
            "data",
            "check a DataFrame against its contract; the first time, infer the contract",
            (
                Arg("data", "DataFrame variable, or a .parquet or .csv file", offer="variable"),
                Arg(
                    "contract",
                    "name of the contract (contracts/NAME.yaml)",
                    ("--contract", "-c"),
                    required=True,
                    offer="contract",
                ),
                Arg("infer", "write the contract anew from this data", ("--infer",), switch=True),
                Arg(
                    "run",
                    "run to keep the result with (default: the run whose cell or script this is)",
                    ("--run",),
                    offer="run",
                ),
                Arg("report", "also write the report to this HTML file", ("--report",), offer="file"),
                Arg(
                    "profile",
                    "also write a whylogs profile of the data to this file, and check the constraints on it",
                    ("--profile",),
                    offer="file",
                ),
            ),
            in_kernel=True,
            example="validate january --contract flights",
        ),
        Verb(
            "snapshot",
            "data",
            "keep rows as Parquet by content hash, under a name; give them back (NAME@2); or list them",
            (
                Arg(
                    "data",
                    "DataFrame variable, file, or a snapshot (NAME@2, NAME@latest, hash); none: list all",
                    metavar="DATA",
                    offer="variable",
                ),
                Arg("name", "name to keep it under (default: the variable's or file's)", ("--name", "-n")),
            ),
            in_kernel=True,
            example="snapshot train --name flights-train",
        ),
        Verb(
            "contract",
            "data",
            "show a contract and where it was checked; make one from data or from a Great Expectations suite",
            (
                Arg("name", "name of the contract (contracts/NAME.yaml)", offer="contract"),
                Arg(
                    "data",
                    "infer it from this DataFrame, with a whylogs profile",
                    ("--data", "-d"),
                    offer="variable",
                ),
                Arg("suite", "import this Great Expectations suite (JSON)", ("--suite",), offer="file"),
                Arg("replace", "replace the contract that is there", ("--replace",), switch=True),
            ),
            example="contract flights --data january",
        ),
        # track
        Verb(
            "run",
            "track",
            "run a cell (or a script) as a tracked run",
            (
                Arg(
                    "script",
                    "Python file to run (a cell in a notebook has none)",
                    metavar="SCRIPT",
                    offer="file",
                ),
                Arg("name", "name of the run", ("--name", "-n"), required=True),
                Arg(
                    "data",
                    "DataFrame that the model is fitted on (further ones are recorded too), or a snapshot",
                    ("--data", "-d"),
                    repeat=True,
                    offer="variable",
                ),
                Arg(
                    "evaluate", "held-out DataFrame for metrics and gate", ("--eval", "-e"), offer="variable"
                ),
                Arg(
                    "target", "label column (default: the one column the model does not read)", ("--target",)
                ),
                Arg(
                    "params",
                    "variable to record as a parameter",
                    ("--params",),
                    repeat=True,
                    offer="variable",
                ),
                Arg(
                    "metrics",
                    "variable to record as a metric: a number, or a dict of numbers",
                    ("--metrics",),
                    repeat=True,
                    offer="variable",
                ),
            ),
            in_kernel=True,
            example="run --name january --data train --eval held_out",
        ),
        Verb(
            "runs",
            "track",
            "list tracked runs: sorted, filtered, drawn",
            (
                Arg("limit", "how many", ("--limit",), type=positive, default=20),
                Arg(
                    "sort",
                    "metric, parameter, started, seconds, name or status; largest first",
                    ("--sort",),
                    default="started",
                ),
                Arg("ascending", "smallest first", ("--ascending",), switch=True),
                Arg("where", "only runs like: auc > 0.7 and estimator = 'Pipeline'", ("--where",)),
                Arg("name", "only runs of this name", ("--name", "-n"), offer="run"),
                Arg(
                    "plot",
                    "draw what differs towards this figure; twice: a scatter; more: lines through all of them",
                    ("--plot",),
                    repeat=True,
                ),
            ),
            example='runs --sort roc_auc --where "status = finished" --plot roc_auc',
        ),
        Verb(
            "compare",
            "track",
            "show in what two runs differ: metrics, parameters, data, seeds, code, notebook and environment",
            (Arg("first", "run by name or id", offer="run"), Arg("second", "another run", offer="run")),
            example="compare january retrain",
        ),
        # registry
        Verb(
            "register",
            "registry",
            "keep a model as a new version",
            (
                Arg(
                    "model",
                    "variable that holds the model, runs:/… or models:/… of a logged one, or a .skops file",
                    offer="variable",
                ),
                Arg("name", "name to register under", ("--name", "-n"), required=True, offer="model"),
                Arg("run", "run that made it (default: the run whose cell did)", ("--run",), offer="run"),
                Arg(
                    "data",
                    "DataFrame it was fitted on (default: the run's)",
                    ("--data", "-d"),
                    offer="variable",
                ),
                Arg(
                    "evaluate", "held-out DataFrame (default: the run's)", ("--eval", "-e"), offer="variable"
                ),
                Arg("target", "label column (default: the run's)", ("--target",)),
                Arg(
                    "format",
                    "of a scikit-learn model: skops (safe to load) or cloudpickle (runs code when loaded)",
                    ("--format",),
                    choices=("skops", "cloudpickle"),
                    default="skops",
                ),
            ),
            in_kernel=True,
            example="register model --name flights",
        ),
        Verb(
            "models",
            "registry",
            "list registered models and versions",
            (Arg("name", "only this model", ("--name", "-n"), offer="model"),),
        ),
        Verb(
            "gate",
            "registry",
            "decide whether a version may become champion, and keep the evidence",
            (
                _MODEL,
                Arg(
                    "version",
                    "version (default: the newest)",
                    ("--version", "-v"),
                    type=version,
                    offer="version",
                ),
                Arg(
                    "data",
                    "labelled rows (default: the version's held-out rows)",
                    ("--data", "-d"),
                    offer="variable",
                ),
                Arg(
                    "first",
                    "it is the first version: none is champion yet to compare with; recorded as your choice",
                    ("--first",),
                    switch=True,
                ),
                Arg("explain", "say what the gate asks, and judge nothing", ("--explain",), switch=True),
            ),
            example="gate flights --version 2",
        ),
        Verb(
            "approve",
            "registry",
            "vouch for a version on its newest gate report; the policy says how many must, and for how long it counts",
            (_MODEL_VERSION, _THIS, _WHY),
            example='approve flights/2 --why "looked at the slices"',
        ),
        Verb(
            "promote",
            "registry",
            "make a version the champion",
            (
                _MODEL_VERSION,
                _THIS,
                _WHY,
                Arg(
                    "force",
                    "without a green gate or approvals; recorded as such",
                    ("--force",),
                    switch=True,
                ),
            ),
            example='promote flights --version 1 --why "first model"',
        ),
        Verb(
            "rollback",
            "registry",
            "make the previous champion the champion again",
            (_MODEL, _WHY),
            example='rollback flights --why "drill"',
        ),
        Verb(
            "alias",
            "registry",
            "put an alias such as challenger on a version, or take it away",
            (
                _MODEL_VERSION,
                Arg("alias", "name of the alias"),
                _THIS,
                Arg("remove", "take the alias away", ("--remove",), switch=True),
                _WHY,
            ),
            example='alias flights/2 challenger --why "shadow it for a week"',
        ),
        Verb(
            "retire",
            "registry",
            "put a version out of use: stopped, without aliases, archived with its evidence",
            (_MODEL_VERSION, _THIS, _WHY),
            example='retire flights/1 --why "replaced"',
        ),
        Verb(
            "delete",
            "registry",
            "delete a version that no alias, deployment or approval refers to",
            (_MODEL_VERSION, _THIS, _WHY),
            example='delete flights/3 --why "fitted on the wrong month"',
        ),
        Verb(
            "history",
            "registry",
            "every champion there was: who, when, why, on what evidence",
            (
                _MODEL,
                Arg("at", "who was champion then: a time such as 2026-11-01T12:00 (UTC)", ("--at",)),
            ),
            example="history flights --at 2026-11-01T12:00",
        ),
        Verb(
            "lineage",
            "registry",
            "the data, code, environment and decisions behind a version",
            (
                _MODEL_VERSION,
                _VERSION,
                Arg(
                    "out",
                    "also write it to this file as JSON, with an OpenLineage event",
                    ("--out",),
                    offer="file",
                ),
            ),
            example="lineage flights@champion",
        ),
        Verb(
            "card",
            "registry",
            "the model card of a version, made from its records",
            (
                _MODEL_VERSION,
                _VERSION,
                Arg("out", "also write it to this .md or .html file", ("--out",), offer="file"),
            ),
            example="card flights --out flights.html",
        ),
        Verb(
            "ledger",
            "registry",
            "show the newest entries of all models, or verify the whole hash chain",
            (Arg("action", "show or verify", choices=("show", "verify")),),
            example="ledger verify",
        ),
        # package
        Verb(
            "build",
            "package",
            "build the Docker image that serves a version",
            (
                _MODEL_VERSION,
                _VERSION,
                Arg("base", "base image (default: [image] base)", ("--base",)),
                Arg(
                    "fast_only",
                    "only the fast path, without scikit-learn and pandas; refused where its proof does not cover "
                    "all rows that the model answers",
                    ("--fast-only",),
                    switch=True,
                ),
                Arg(
                    "platform",
                    "such as linux/arm64 (default: what the engine runs on)",
                    ("--platform",),
                    type=platform,
                ),
            ),
            long=True,
            example="build flights",
        ),
        Verb(
            "images",
            "package",
            "images that were built, whether the engine still has them, and what serves from them",
            (Arg("name", "only of this model", ("--name",), offer="model"),),
            example="images",
        ),
        Verb(
            "export",
            "package",
            "write files for another tool: a Grafana dashboard and Prometheus alert rules",
            (
                Arg("what", "what for", choices=("grafana",)),
                Arg(
                    "out", "folder (default: one of that name in the project)", ("--out", "-o"), offer="file"
                ),
            ),
            example="export grafana",
        ),
        # serve
        Verb(
            "serve",
            "serve",
            "put a version behind HTTP: in its container if it has an image, else in a local process",
            (
                _MODEL_VERSION,
                _VERSION,
                Arg("port", "port on 127.0.0.1 (default: a free one)", ("--port",), type=port),
                Arg("kind", "container or process", ("--kind",), choices=("container", "process")),
                Arg(
                    "follow",
                    "serve later champions (of NAME@alias: its versions) in its place, without a pause",
                    ("--follow",),
                    switch=True,
                ),
                Arg("docker", "in its container: as --kind container", ("--docker",), switch=True),
                Arg(
                    "memory",
                    "memory that the container may use, such as 512m (default: [serving] memory)",
                    ("--memory",),
                    type=memory,
                ),
                Arg(
                    "cpus",
                    "cores that the container may use, such as 0.5 (default: [serving] cpus)",
                    ("--cpus",),
                    type=cpus,
                ),
            ),
            example="serve flights",
        ),
        Verb("stop", "serve", "stop serving a model", (_MODEL,)),
        Verb("deployments", "serve", "what serves now, and where"),
        Verb(
            "predict",
            "serve",
            "send rows to the served model over HTTP; answers are logged",
            (
                _MODEL,
                Arg("data", "DataFrame variable, or a .parquet or .csv file", offer="variable"),
                Arg("batch", "rows a request", ("--batch",), type=positive, default=500),
            ),
            in_kernel=True,
            example="predict flights february",
        ),
        # monitor
        Verb(
            "alerts",
            "monitor",
            "what a person should look at; ack ID: it was looked at",
            (
                Arg("action", "list (the default) or ack", choices=("list", "ack")),
                Arg("id", "number of an alert", type=positive),
                Arg("everything", "acknowledged ones, too", ("--all",), switch=True),
            ),
            example="alerts ack 3",
        ),
        Verb(
            "label",
            "monitor",
            "add what really happened to logged predictions",
            (
                _MODEL,
                Arg("data", "DataFrame with request_id, row_index and the label", offer="variable"),
                Arg("column", "label column (default: the model's target)", ("--column",)),
            ),
            in_kernel=True,
            example="label flights arrived",
        ),
        Verb(
            "drift",
            "monitor",
            "compare what the model is asked now with what it was fitted on",
            (
                _MODEL,
                _VERSION,
                Arg(
                    "data",
                    "rows to compare (default: the logged requests)",
                    ("--data", "-d"),
                    offer="variable",
                ),
                Arg("last", "only the newest N logged rows", ("--last",), type=positive),
                Arg(
                    "profile",
                    "also write a whylogs profile of the rows to this file; profiles of several periods merge",
                    ("--profile",),
                    offer="file",
                ),
                Arg(
                    "report",
                    "also write Evidently's full report to this HTML file",
                    ("--report",),
                    offer="file",
                ),
            ),
            example="drift flights",
        ),
        # retrain
        Verb(
            "retrain",
            "retrain",
            "run a notebook as a job; what it registers goes through the gate and is promoted if it passes",
            (
                _MODEL,
                Arg("notebook", "notebook to run", ("--notebook",), required=True, offer="file"),
                Arg(
                    "parameters",
                    "notebook parameter",
                    ("-p", "--parameter"),
                    type=setting,
                    repeat=True,
                    metavar="NAME=VALUE",
                ),
                Arg("timeout", "seconds that one cell may take", ("--timeout",), type=positive, default=3600),
                Arg("detach", "return at once; follow with jobs", ("--detach",), switch=True),
            ),
            long=True,
            example="retrain flights --notebook retrain.ipynb -p month=6",
        ),
        Verb(
            "reproduce",
            "retrain",
            "make a version again in a fresh environment from its records, and compare its answers",
            (
                _MODEL_VERSION,
                _VERSION,
                Arg(
                    "tolerance",
                    "largest difference of a number that still counts as equal",
                    ("--tolerance",),
                    type=share,
                    default=1e-6,
                ),
                Arg("detach", "return at once; follow with jobs", ("--detach",), switch=True),
            ),
            long=True,
            example="reproduce flights/1",
        ),
        Verb(
            "jobs",
            "retrain",
            "list jobs, show one, or cancel one",
            (
                Arg("id", "only this job", ("--id",), type=positive, offer="job"),
                Arg("cancel", "cancel this job", ("--cancel",), type=positive, offer="job"),
                Arg("limit", "how many", ("--limit",), type=positive, default=20),
            ),
        ),
    )
}

OPTIONAL_POSITIONALS = {
    ("run", "script"),
    ("snapshot", "data"),
    ("ledger", "action"),
    ("alerts", "action"),
    ("alerts", "id"),
}


class HelpRequested(Exception):
    """`--help` was among the words; `text` is what to show. Not an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class VerbParser(argparse.ArgumentParser):
    """argparse that raises our errors instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message[:1].lower()}{message[1:].rstrip('.')}.", f"Usage: {self.usage_line()}"
        )

    def usage_line(self) -> str:
        return " ".join(self.format_usage().split()).removeprefix("usage: ")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError((message or "").strip() or f"{self.prog} ended with status {status}.")

    def print_help(self, file: Any = None) -> NoReturn:
        raise HelpRequested(self.format_help())


def verb_parser(verb: Verb, prog: str) -> VerbParser:
    """The parser of one verb; `prog` is how this face calls it, for example `%mlops gate`."""
    parser = VerbParser(
        prog=prog,
        description=verb.summary[:1].upper() + verb.summary[1:] + ".",
        epilog=f"Example: {prog.rsplit(' ', 1)[0]} {verb.example}" if verb.example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for arg in verb.args:
        options: dict[str, Any] = {"help": arg.help}
        if arg.switch:
            options["action"] = "store_true"
        else:
            options |= {
                "type": arg.type,
                "default": arg.default,
                "choices": arg.choices,
                "metavar": arg.metavar,
            }
            if arg.repeat:
                options |= {"action": "append", "default": []}
        if arg.flags:
            parser.add_argument(*arg.flags, dest=arg.name, required=arg.required, **options)
        else:
            if (verb.name, arg.name) in OPTIONAL_POSITIONALS:
                options["nargs"] = "?"
            parser.add_argument(arg.name, **options)
    return parser


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed line: the verb and the keywords of its method."""

    verb: Verb
    options: dict[str, Any]


def parse(words: str | Sequence[str], prog: str) -> Call:
    """One line or list of words to a `Call`.

    Raises `UsageError` (unknown verb or option, missing or bad value) or `HelpRequested`.
    """
    if isinstance(words, str):
        try:
            words = shlex.split(words)
        except ValueError as problem:
            raise UsageError(
                f"The line {words!r} cannot be read: {problem}.", "Close the quotation."
            ) from None
    if not words or words[0] in ("--help", "-h", "help"):
        raise HelpRequested(overview(prog))
    name, *rest = words
    verb = VERBS.get(name)
    if verb is None:
        raise UsageError(f"There is no verb '{name}'.", closest(name, VERBS) or f"See {prog} --help.")
    parser = verb_parser(verb, f"{prog} {name}")
    _known_options(verb, rest)  # argparse would complain of what is missing before what is wrong
    return Call(verb, vars(parser.parse_args(rest)))


def _known_options(verb: Verb, words: Sequence[str]) -> None:
    known = [flag for arg in verb.args for flag in arg.flags] + ["--help", "-h"]
    for word in words:
        option = word.partition("=")[0]
        if option == "--":
            return
        if option.startswith("--") and option not in known:
            raise UsageError(f"The verb '{verb.name}' has no option '{option}'.", closest(option, known))


def overview(prog: str) -> str:
    """All verbs by stage, for `%mlops` and `mlops --help`."""
    lines = [f"{prog} VERB …   ({prog} VERB --help explains one)", ""]
    stage = ""
    for verb in VERBS.values():
        head = verb.stage if verb.stage != stage else ""
        stage = verb.stage
        lines.append(f"  {head:<9} {verb.name:<12} {verb.summary}")
    return "\n".join(lines)


def line(verb: str, options: dict[str, Any]) -> str:
    """The words that parse to these options: what the sidebar offers to copy and the job log shows."""
    words = [verb]
    for arg in VERBS[verb].args:
        value = options.get(arg.name)
        if value is None or value is False or value == [] or value == arg.default:
            continue
        for one in value if arg.repeat else [value]:
            text = "=".join(map(str, one)) if isinstance(one, tuple | list) else str(one)
            words += [max(arg.flags, key=len, default="")] * bool(arg.flags) + (
                [] if arg.switch else [shlex.quote(text)]
            )
    return " ".join(words)


def from_json(verb: Verb, raw: dict[str, Any]) -> dict[str, Any]:
    """Options that came as JSON (REST), checked by the same types as a typed line.

    Raises `UsageError` on an unknown or missing option, or a value of the wrong kind.
    """
    known = {arg.name: arg for arg in verb.args}
    for name in raw:
        if name not in known:
            raise UsageError(f"The verb '{verb.name}' has no option '{name}'.", closest(name, known))
    options: dict[str, Any] = {}
    for arg in verb.args:
        value = raw.get(arg.name)
        if value is None or value == "":
            if arg.required or (not arg.flags and (verb.name, arg.name) not in OPTIONAL_POSITIONALS):
                raise UsageError(f"The verb '{verb.name}' needs '{arg.name}': {arg.help}.")
            options[arg.name] = [] if arg.repeat else False if arg.switch else arg.default
        elif arg.switch:
            if not isinstance(value, bool):
                raise UsageError(f"The option '{arg.name}' must be true or false. Got {value!r} instead.")
            options[arg.name] = value
        elif arg.repeat:
            pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
            if not isinstance(pairs, list):
                raise UsageError(f"The option '{arg.name}' must be a list. Got {value!r} instead.")
            options[arg.name] = [_typed(arg, str(one)) for one in pairs]
        else:
            options[arg.name] = _typed(arg, str(value))
    return options


def _typed(arg: Arg, text: str) -> Any:
    try:
        value = arg.type(text)
    except argparse.ArgumentTypeError as problem:
        raise UsageError(f"The option '{arg.name}' {problem}") from None
    if arg.choices and value not in arg.choices:
        raise UsageError(
            f"The option '{arg.name}' must be one of {', '.join(arg.choices)}. Got '{text}' instead.",
            closest(text, arg.choices),
        )
    return value


def reference() -> str:
    """`docs/verbs.md`: every verb and option, as Markdown."""
    parts = [
        "# Verbs",
        "",
        "Made from the parser by `make docs`; a test compares. The same words follow `%mlops` in a notebook and",
        "`mlops` on a command line; the same names are the keywords of `Workbench` methods and the JSON of",
        "`POST /mlops/api/verbs/VERB`.",
    ]
    stage = ""
    for verb in VERBS.values():
        if verb.stage != stage:
            stage = verb.stage
            parts += ["", f"## {stage}"]
        positionals = " ".join(
            f"[{a.name.upper()}]" if (verb.name, a.name) in OPTIONAL_POSITIONALS else a.name.upper()
            for a in verb.args
            if not a.flags
        )
        parts += ["", f"### {verb.name}", "", f"`{verb.name} {positionals}`".replace(" `", "`"), ""]
        parts += [f"{verb.summary[:1].upper()}{verb.summary[1:]}."]
        if verb.args:
            parts += ["", "| option | meaning |", "|---|---|"]
        for arg in verb.args:
            name = ", ".join(f"`{f}`" for f in arg.flags) or f"`{arg.name.upper()}`"
            notes = " (required)" if arg.required else " (may be repeated)" if arg.repeat else ""
            if arg.flags and arg.default is not None:
                notes += f" (default {arg.default})"
            parts.append(f"| {name} | {arg.help.replace('|', chr(92) + '|')}{notes} |")
        if verb.example:
            parts += ["", f"    %mlops {verb.example}"]
    return "\n".join(parts) + "\n"
