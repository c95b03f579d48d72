"""Texts that would be markup, scripts or links if anything took them as more than text, and rows that hold them."""

from __future__ import annotations

import numpy as np
import pandas as pd

SCRIPT = "</script><script>parent.hurt=window.hurt=1</script>"
IMAGE = '"><img src=x onerror=parent.hurt=window.hurt=1>'
LINK = "[look](javascript:hurt) ![x](http://elsewhere.example/x.png) <http://elsewhere.example>"
HOSTILE = (
    SCRIPT,
    IMAGE,
    LINK,
    "' onmouseover='hurt",
    "`</code><b>bold</b>`",
    "</td></table><h1>big</h1>",
    "<!--",
)


def people(seed: int) -> pd.DataFrame:
    """400 rows whose columns, values and label are such texts."""
    rng = np.random.default_rng(seed)
    words = rng.choice(HOSTILE, 400)
    x = rng.normal(size=400)
    late = np.where(x + (words == SCRIPT) + rng.normal(size=400) > 0, SCRIPT, IMAGE)
    return pd.DataFrame({IMAGE: x, LINK: words, "y": late})
