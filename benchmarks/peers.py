"""The servers beside ours: `peers.py constant|plain PORT [MODEL]`, FastAPI as its documentation shows it."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI


def constant() -> FastAPI:
    """Reads the JSON and answers always the same: as fast as FastAPI gets."""
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": [1], "probabilities": [[0.25, 0.75]]}

    return app


def plain(path: str) -> FastAPI:
    """A DataFrame of the rows, and the model asked for labels and probabilities."""
    import pandas as pd
    import skops.io

    model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    app = FastAPI()

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        frame = pd.DataFrame(body["rows"])
        return {
            "predictions": model.predict(frame).tolist(),
            "probabilities": model.predict_proba(frame).tolist(),
        }

    return app


if __name__ == "__main__":
    kind, port = sys.argv[1:3]
    app = constant() if kind == "constant" else plain(sys.argv[3])
    uvicorn.run(app, port=int(port), log_level="error", access_log=False)
