"""What each thing that the runtime does beside answering costs: windows, and a log that survives a power cut.

One row a request, 1, 16 and 64 clients, one worker; all servers run at once, rounds are interleaved, and each figure is
a ratio of medians.

    runtime.py [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import sys
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path

from register import data, fit
from serving import CLIENTS, Server, asked, free_port, server

from mlops_workbench.manifest import REFERENCE
from mlops_workbench.workbench import Workbench


def main(rounds: int, seconds: float) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    frame = data(5_000)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        workbench = Workbench(folder / "project")
        workbench.init("benchmark")
        version = workbench.register(fit(frame), name="late", data=frame)
        model = Path(workbench.tracking.folder(workbench.tracking.version("late", version.version)))
        bare = folder / "bare"
        shutil.copytree(model, bare)
        (bare / REFERENCE).unlink()
        body = json.dumps(
            {"rows": [json.loads(frame.drop(columns="late").head(1).to_json(orient="records"))[0]]}
        ).encode()
        found: list[Server] = []

        def add(name: str, place: Path, **env: str) -> None:
            port = free_port()
            env |= {
                "MLOPS_MODEL_DIR": str(place),
                "MLOPS_MODEL_NAME": version.name,
                "MLOPS_MODEL_VERSION": str(version.version),
                "MLOPS_LOG_URL": f"sqlite:///{folder}/log-{len(found)}.db",
                "PORT": str(port),
            }
            words = [sys.executable, "-m", "mlops_workbench.serving"]
            found.append(stack.enter_context(server(name, words, port, "/predict", body, **env)))

        add("as it is", model)
        add("without windows", bare)
        add('durability = "power"', model, MLOPS_LOG_DURABILITY="power")
        for number in range(-1, rounds):  # the first warms up
            for clients in CLIENTS:
                for one in random.sample(found, len(found)):  # none is always the one after the pause
                    seen = asked(one, clients, seconds if number >= 0 else 0.5)
                    if number >= 0:
                        one.seen.setdefault(clients, []).append(seen)
        first = found[0]
        for one in found:
            rates = ", ".join(f"{c}: {one.median(c, 'rate'):,.0f}" for c in CLIENTS)
            ratios = ", ".join(f"{one.median(c, 'rate') / first.median(c, 'rate'):.2f}" for c in CLIENTS)
            print(f"{one.name:24s} requests/s by clients {rates}; of 'as it is': {ratios}; {one.memory} MB")
        workbench.close()


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 5,
        float(sys.argv[2]) if len(sys.argv) > 2 else 3.0,
    )
