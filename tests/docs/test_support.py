"""The support page says what the registry says."""

from __future__ import annotations

import pytest

from tools import support


def test_the_page_is_up_to_date() -> None:
    committed = support.PAGE.read_text(encoding="utf-8")
    if f"scikit-learn {support._version()}\n" not in committed:
        pytest.skip("the page was written for another version of scikit-learn")
    for library in ("lightgbm", "xgboost", "catboost", "imblearn", "skrub", "torch", "skorch"):
        pytest.importorskip(library)
    assert support.page() == committed, "run: python -m tools.support"
