"""What a part says of an adapter's factors is read, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bifurk.wire import Product, decode, encode
from tests.wire.forge import forge
from tests.wire.test_packing import PACKED, part, refused


def told(product: Any) -> bytes:
    def change(document: dict[str, Any]) -> None:
        document["tensors"][0]["product"] = product

    return forge(part(PACKED), manifest=change)


def test_a_product_comes_back() -> None:
    product = Product(right="a/b", scale=-2.5)
    sent = part(replace(PACKED, product=product))
    assert decode(encode(sent)).tensors[0].product == product


@pytest.mark.parametrize(
    ("product", "where", "problem"),
    [
        ("a", "product", "object"),
        ({}, "product.right", "text"),
        ({"right": "", "scale": 1}, "product.right", "a name"),
        ({"right": "a" * 513, "scale": 1}, "product.right", "at most 512"),
        ({"right": "a\nb", "scale": 1}, "product.right", "control characters"),
        ({"right": "a"}, "product.scale", "a number"),
        ({"right": "a", "scale": "NaN"}, "product.scale", "a finite number"),
        ({"right": "a", "scale": "Infinity"}, "product.scale", "a finite number"),
        ({"right": "a", "scale": True}, "product.scale", "a number"),
    ],
)
def test_one_that_lies_is_refused_by_name(product: Any, where: str, problem: str) -> None:
    error = refused(told(product))
    assert error.where == f"manifest.tensors[0].{where}"
    assert problem in error.problem
