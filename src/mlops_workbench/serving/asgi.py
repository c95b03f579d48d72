"""For an ASGI server of one's own: `mlops_workbench.serving.asgi:app`, configured by the environment."""

from __future__ import annotations

import os

from mlops_workbench.serving.settings import Settings, app_from

app = app_from(Settings.from_env(os.environ))
