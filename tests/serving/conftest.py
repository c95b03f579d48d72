from __future__ import annotations

from pathlib import Path

import model_folders
import pytest


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    model_folders.save(folder, model_folders.classifier())
    return folder


@pytest.fixture(scope="session")
def regressor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "regressor"
    model_folders.save(folder, model_folders.regressor(), task="regression")
    return folder
