"""A small system that is fitted once."""

from pathlib import Path

import pytest
from tests.batch.systems import fitted

from crossfade.hybrid import HybridModel


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is."""
    directory = tmp_path_factory.mktemp("batch") / "bundle"
    fitted(directory)
    return directory


@pytest.fixture(scope="session")
def model(saved: Path) -> HybridModel:
    return HybridModel.load(saved)
