"""Series as text: what is read, and where a text is wrong."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from bifurk_service.errors import InvalidError
from bifurk_service.importing.points import WHOLE_MODEL, Point
from bifurk_service.importing.series_text import read_points


def _read(text: str, form: Literal["csv", "jsonl"] = "csv") -> list[Point]:
    return list(read_points(text.splitlines(keepends=True), form))


def test_a_table_is_read_whatever_the_order_of_its_columns() -> None:
    text = 'value,tensor,step,statistic,note\n.5,"a, b",10,std,x\n1e-3,,20,loss,y\n'
    assert _read(text) == [Point(10, "a, b", "std", 0.5), Point(20, WHOLE_MODEL, "loss", 0.001)]


def test_json_lines_are_read_and_empty_ones_passed_over() -> None:
    text = (
        '{"step": 1, "tensor": "a", "statistic": "std", "value": 2}\n\n'
        '{"step": 2.0, "statistic": "loss", "value": 3.5, "other": []}\n'
    )
    assert _read(text, "jsonl") == [Point(1, "a", "std", 2.0), Point(2, WHOLE_MODEL, "loss", 3.5)]


@pytest.mark.parametrize("value", ["", "nan", "NaN", "null", "inf", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_a_point_without_a_value(value: str) -> None:
    [point] = _read(f"step,statistic,value\n1,std,{value}\n")
    assert math.isnan(point.value)


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "line 1", "the header must name"),
        ("step,value\n", "line 1", "statistic missing"),
        ("step,statistic,value\n1,std\n", "line 2", "expected 3 cells"),
        ("step,statistic,value\n1,std,2,3\n", "line 2", "expected 3 cells"),
        ("step,statistic,value\n1,std,2\nx,std,2\n", "line 3", "step is a whole number, got 'x'"),
        ("step,statistic,value\n1.5,std,2\n", "line 2", "whole number"),
        ("step,statistic,value\n-1,std,2\n", "line 2", "at least 0"),
        ("step,statistic,value\n9223372036854775808,std,2\n", "line 2", "below 2^63"),
        ("step,statistic,value\n1,,2\n", "line 2", "statistic is printable text"),
        ("step,statistic,value\n1,std,two\n", "line 2", "value is a number, got 'two'"),
        ('step,statistic,value\n1,"std,2\n', "line 2", "no CSV"),
        ("step,statistic,value\n1," + "s" * 65 + ",2\n", "line 2", "at most 64"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(text: str, where: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem.replace("^", r"\^")) as caught:
        _read(text)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "expected a JSON object"),
        ("{", "expected a JSON object"),
        ("[" * 100_000, "expected a JSON object"),
        ('{"step": 1, "value": 2}', "statistic missing"),
        ('{"step": true, "statistic": "s", "value": 2}', "whole number"),
        ('{"step": 1e300, "statistic": "s", "value": 2}', "below 2"),
        ('{"step": 1, "statistic": 7, "value": 2}', "printable text"),
        ('{"step": 1, "statistic": "a\\u0000", "value": 2}', "printable text"),
        ('{"step": 1, "statistic": "s", "value": [2]}', "value is a number"),
        ('{"step": 1, "statistic": "s", "value": false}', "value is a number"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(line: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem) as caught:
        _read('{"step": 0, "statistic": "s", "value": 1}\n' + line, "jsonl")
    assert caught.value.where == "line 2"
