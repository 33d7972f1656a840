"""Quartz cron: what is one, and what is wrong with what is none."""

import pytest

from tests.contracts.quartz import quartz_fault


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 2 * * ?",
        "0 0 4 ? * SAT",
        "0 0/15 8-18 ? * MON-FRI",
        "30 5 0 L * ?",
        "0 0 12 ? * 6#3",
        "0 0 0 1,15 JAN-JUN ? 2026",
        "0 */10 * * * ?",
        "0 0 0 15W * ?",
        "0 0 0 ? * FRIL",
    ],
)
def test_a_sound_expression_has_no_fault(expression: str) -> None:
    assert quartz_fault(expression) is None


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("0 2 * * *", "has not the 6 or 7 fields of quartz"),
        ("60 0 2 * * ?", "has '60' for its seconds"),
        ("0 0 24 * * ?", "has '24' for its hours"),
        ("0 0 2 0 * ?", "has '0' for its day of month"),
        ("0 0 2 ? * 8", "has '8' for its day of week"),
        ("0 0 2 ? SUN MON", "has 'SUN' for its month"),
        ("0 0/x 2 * * ?", "has '0/X' for its minutes"),
        ("0 0 1-2-3 * * ?", "has '1-2-3' for its hours"),
        ("0 0 2 * * *", "must have ? for either its day of month or its day of week"),
        ("0 0 2 ? * ?", "must have ? for either its day of month or its day of week"),
    ],
)
def test_a_fault_is_named_with_the_field_that_has_it(expression: str, fault: str) -> None:
    assert quartz_fault(expression) == fault
