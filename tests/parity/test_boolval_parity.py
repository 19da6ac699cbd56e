from __future__ import annotations

from typing import Any

import pytest

from monkit_core import BoolVal, SeriesKey
from tests.helpers import check_figures, figures, vectors


@pytest.mark.parametrize("case", vectors("boolval"), ids=lambda case: str(case["in"]))
def test_boolval_is_the_original_s(case: dict[str, Any]) -> None:
    value = BoolVal(SeriesKey("b"))
    for each in case["in"]:
        value.observe(each)
    check_figures(figures(value.stats()), case["stats"])
