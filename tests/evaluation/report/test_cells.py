"""Numbers as text."""

import pytest

from ganvas.evaluation.report.cells import number
from ganvas.metrics import Score


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.2149, 0.05, "3.21 ± 0.05"),
        (0.00123, 0.000137, "0.00123 ± 0.00014"),
        (0.9712, 0.0996, "0.97 ± 0.10"),
        (1523.4, 23.0, "1,523 ± 23"),
        (10, None, "10"),
        (3.21987, None, "3.22"),
        (12345.6, None, "12,346"),
        (10, 0.0, "10 ± 0"),
    ],
)
def test_a_value_has_as_many_decimals_as_its_error(value: float, error: float | None, text: str) -> None:
    assert number(Score(value, error)) == text
