"""What `register` and `gate` of a wide model cost: seconds and memory, each width in a process of its own.

python benchmarks/wide.py [COLUMNS …]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTHS = (200, 800, 2_000)
ROWS = 400


def measure(columns: int) -> dict[str, float]:
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier

    from mlops_workbench.workbench import Workbench

    rng = np.random.default_rng(0)
    names = [f"gene_{i}" for i in range(columns)]

    def made(seed_rows: int) -> pd.DataFrame:
        frame = pd.DataFrame(rng.normal(size=(seed_rows, columns)), columns=names)
        return frame.assign(y=(frame[names[:5]].sum(axis=1) + rng.normal(size=seed_rows) > 0).astype(int))

    train, test = made(ROWS), made(ROWS)
    model = RandomForestClassifier(50, n_jobs=1, random_state=0).fit(train[names], train["y"])
    with tempfile.TemporaryDirectory() as folder:
        workbench = Workbench(
            Path(folder).resolve(), namespace={"train": train, "test": test, "model": model}
        )
        workbench.init("wide")
        few = train[[*names[:3], "y"]]  # what there is to import is imported for this one
        workbench.namespace["few"] = RandomForestClassifier(3).fit(few[names[:3]], few["y"])
        workbench.register("few", name="few", data=few)
        found: dict[str, float] = {}
        for step, call in (
            ("register", lambda: workbench.register("model", name="m", data="train", evaluate="test")),
            ("gate", lambda: workbench.gate("m", first=True)),
        ):
            started, cpu = time.perf_counter(), time.process_time()
            call()
            found[f"{step}_cpu"] = round(time.process_time() - cpu, 1)
            found[f"{step}_seconds"] = round(time.perf_counter() - started, 1)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found[f"{step}_mb"] = round(own / 1e3)
        workbench.close()
    # the process that the model was asked in is waited for when this one ends
    return found | {"columns": columns}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    for columns in [int(word) for word in sys.argv[1:]] or WIDTHS:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, "--one", str(columns)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{columns:>6,} columns: register {found['register_seconds']:>6} s ({found['register_cpu']} s of CPU), "
            f"{found['register_mb']:,} MB; gate {found['gate_seconds']:>6} s ({found['gate_cpu']} s of CPU), "
            f"{found['gate_mb']:,} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
