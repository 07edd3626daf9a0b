"""The model that most tests of this area judge."""

from __future__ import annotations

import pytest

from bifurk_service.domain import TensorInfo
from tests.detect.runs import gpt


@pytest.fixture
def tensors() -> list[TensorInfo]:
    return gpt(4)
