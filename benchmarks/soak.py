"""Whether a runtime grows with what strangers send: memory, files and metrics after many requests of odd shapes.

python benchmarks/soak.py [REQUESTS] — default 200,000; the first tenth is the yardstick.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import psutil
from model_folders import classifier, flights, rows_of, save
from serving_kit import ask, free_port, process, wait_ready

CALLERS = 8
JSON = "application/json"


def odd(rng: random.Random, rows: list[dict[str, Any]]) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers of a request: good, bad, or nothing that anybody expects."""
    word = f"{rng.getrandbits(64):x}"
    body = json.dumps({"rows": rng.choices(rows, k=rng.choice((1, 1, 1, 2, 20)))}).encode()
    headers = {"Content-Type": JSON, f"X-{word}": word, "X-Request-ID": word}
    return rng.choice(
        (
            ("POST", "/predict", body, headers),
            ("POST", "/predict", body[: rng.randrange(len(body))], headers),
            ("POST", "/predict", json.dumps({"rows": [{word: word}]}).encode(), headers),
            ("POST", f"/{word}", body, headers),
            ("GET", f"/v2/models/{word}/versions/{word}", b"", headers),
            ("GET", rng.choice(("/", "/health/ready", "/metrics", "/docs", "/openapi.json")), b"", headers),
            ("POST", "/invocations", json.dumps({"dataframe_records": [rng.choice(rows)]}).encode(), headers),
            ("POST", "/invocations", b"a,b\n" + word.encode(), headers | {"Content-Type": "text/csv"}),
            (rng.choice(("PUT", "DELETE", "PATCH", "OPTIONS")), "/predict", b"", headers),
            ("POST", "/predict", body, headers | {"Content-Type": f"x/{word}"}),
        )
    )


def send(port: int, count: int, seed: int) -> None:
    rows, rng = rows_of(flights(50)), random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        method, path, body, headers = odd(rng, rows)
        try:
            connection.request(method, path, body or None, headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
    connection.close()


def state(pid: int, port: int, log: Path) -> dict[str, Any]:
    running = psutil.Process(pid)
    wal = log.with_name(f"{log.name}-wal")
    return {
        "MB": round(running.memory_info().rss / 1e6),
        "files": running.num_fds(),
        "threads": running.num_threads(),
        "lines of metrics": ask(f"http://127.0.0.1:{port}/metrics").body.count(b"\n"),
        "MB of write-ahead log": round(wal.stat().st_size / 1e6, 1) if wal.exists() else 0,
    }


def main(requests: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, log, port = Path(scratch) / "model", Path(scratch) / "log.db", free_port()
        folder.mkdir()
        save(folder, classifier())
        with process(folder, PORT=str(port), MLOPS_LOG_URL=f"sqlite:///{log}") as running:
            wait_ready(f"http://127.0.0.1:{port}")
            done = 0
            for part in (requests // 10, requests - requests // 10):
                threads = [
                    threading.Thread(target=send, args=(port, part // CALLERS, done + i))
                    for i in range(CALLERS)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                done += part
                print(f"{done:>8,} requests: {state(running.pid, port, log)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
