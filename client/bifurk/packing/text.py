"""Packings as text: strictly as the wire has them, and leniently as people write them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bifurk.layout import ROLES
from bifurk.packing.value import MOST_CHARACTERS, MOST_PIECES, WHOLE, Packing, short

FORM: Final = "query,key,value or 12*(query=64,key=64,value=64)@axis0 or none"
"""What errors show for an example."""

_SIZE: Final = r"[1-9][0-9]{0,14}"
_PIECES: Final = rf"[a-z0-9_.]+={_SIZE}(?:,[a-z0-9_.]+={_SIZE}){{0,{MOST_PIECES}}}"
_STRICT: Final = re.compile(
    rf"(?:(?P<groups>{_SIZE})\*\((?P<grouped>{_PIECES})\)|(?P<single>{_PIECES}))@axis(?P<axis>[01])"
)
_LENIENT: Final = re.compile(
    rf"(?:(?P<groups>{_SIZE})\s*\*\s*\((?P<grouped>[^()*@]*)\)|(?P<single>[^()*@]*))"
    r"(?:@\s*axis\s*(?P<axis>[01]))?"
)
_SHORT: Final = {role.rpartition(".")[2]: role for role in ROLES if role != "attention.qkv"}


def read_packing(text: str, shape: tuple[int, ...]) -> Packing:
    """Reads exactly what ``str`` of a packing writes.

    Args:
        text: of at most ``MOST_CHARACTERS``. shape: of the whole tensor it is said of.

    Raises:
        ValueError: it is written otherwise, or does not fit the shape.
    """
    if text == "none":
        return WHOLE
    match = _STRICT.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    if match is None:
        raise ValueError(f"expected role=size,role=size@axis0 or none, got {short(text)}")
    pieces = [piece.split("=") for piece in (match["grouped"] or match["single"]).split(",")]
    packing = Packing(
        axis=int(match["axis"]),
        groups=int(match["groups"] or 1),
        pieces=tuple((role, int(size)) for role, size in pieces),
    )
    if str(packing) != text:
        raise ValueError(f"expected {short(str(packing))}, got {short(text)}")
    packing.check_shape(shape)
    return packing


def parse_packing(text: str, shape: tuple[int, ...]) -> Packing:
    """Reads what a person wrote, for a matrix of this shape.

    Roles may go without their first word. Without sizes all pieces are equal. Without an axis it
    is the one that the sizes fill, or for equal pieces the longer; of a square matrix, axis 0.

    >>> str(parse_packing("query,key,value", (768, 2304)))
    'attention.query=768,attention.key=768,attention.value=768@axis1'
    >>> parse_packing("12*(query,key,value)", (2304, 768)).groups
    12

    Raises:
        ValueError: it cannot be read, or does not fit the shape; the message says what would.
    """
    written = _read(text)
    if not written.roles:
        return WHOLE
    if len(shape) != 2:
        raise ValueError(f"packing {short(text)}: only a matrix is packed, got shape {list(shape)}")
    try:
        packing = _fitted(written, shape)
        packing.check_shape(shape)
    except ValueError as error:
        raise ValueError(f"packing {short(text)} does not fit {list(shape)}: {error}") from None
    return packing


def check_packings(packings: object) -> None:
    """Refuses what no matrix could be packed by, whatever its shape.

    Raises:
        TypeError: it is no mapping of texts.
        ValueError: a text cannot be read; the message names its glob and what was expected.
    """
    if not isinstance(packings, Mapping):
        raise TypeError(f"packing must map globs to texts, got {short(packings)}")
    for glob, text in packings.items():
        if not isinstance(glob, str) or not isinstance(text, str):
            raise TypeError(f"packing must map globs to texts, got {glob!r}: {short(text)}")
        try:
            _read(text)
        except ValueError as error:
            raise ValueError(f"the packing of {glob!r}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What a text says: no roles for none, no sizes for equal ones."""

    groups: int
    roles: tuple[str, ...]
    sizes: tuple[int, ...]
    axis: int | None


def _read(text: str) -> _Written:
    if text.strip() in ("", "none"):
        return _Written(groups=1, roles=(), sizes=(), axis=None)
    match = _LENIENT.fullmatch(text.strip()) if len(text) <= MOST_CHARACTERS else None
    if match is None:
        raise ValueError(f"expected {FORM}, got {short(text)}")
    inside = match["single"] if match["grouped"] is None else match["grouped"]
    pieces = [piece.partition("=") for piece in inside.split(",")]
    roles = tuple(_role(role.strip()) for role, _, _ in pieces)
    if len(set(roles)) != len(roles) or not 2 <= len(roles) <= MOST_PIECES:
        raise ValueError(f"expected 2 to {MOST_PIECES} different roles, got {short(text)}")
    return _Written(
        groups=int(match["groups"] or 1),
        roles=roles,
        sizes=_sizes([size.strip() for _, equals, size in pieces if equals], len(roles), text),
        axis=int(match["axis"]) if match["axis"] else None,
    )


def _role(word: str) -> str:
    role = _SHORT.get(word, word)
    if role in ROLES:
        return role
    likely = [name for name in _SHORT if word and name.startswith(word.lower())]
    close = difflib.get_close_matches(word, [*_SHORT, *ROLES], n=1)
    hint = next(iter(likely + close), None)
    if hint is None:
        raise ValueError(f"expected roles, as in {FORM}; got {short(word)}")
    raise ValueError(f"there is no role {short(word)}; did you mean {hint!r}?")


def _sizes(written: list[str], roles: int, text: str) -> tuple[int, ...]:
    if not written:
        return ()
    if len(written) != roles or not all(re.fullmatch(_SIZE, size) for size in written):
        raise ValueError(f"expected a size of at least 1 for every role or none, got {short(text)}")
    return tuple(int(size) for size in written)


def _fitted(written: _Written, shape: tuple[int, ...]) -> Packing:
    axis = _axis(written, shape)
    sizes = written.sizes or _equal_sizes(written, shape[axis], axis)
    total = written.groups * sum(sizes)
    if total != shape[axis] and shape[axis] % total == 0:
        grown = (size * (shape[axis] // total) for size in sizes)
        pieces = ",".join(f"{r}={s}" for r, s in zip(written.roles, grown, strict=True))
        raise ValueError(f"the sizes make {total} of {shape[axis]}; did you mean {pieces}?")
    pairs = tuple(zip(written.roles, sizes, strict=True))
    return Packing(axis=axis, groups=written.groups, pieces=pairs)


def _axis(written: _Written, shape: tuple[int, ...]) -> int:
    if written.axis is not None:
        return written.axis
    longer = 1 if shape[1] > shape[0] else 0
    if not written.sizes:
        return longer
    total = written.groups * sum(written.sizes)
    return next((axis for axis in (0, 1) if shape[axis] == total), longer)


def _equal_sizes(written: _Written, length: int, axis: int) -> tuple[int, ...]:
    shares = written.groups * len(written.roles)
    size, rest = divmod(length, shares)
    if rest or size == 0:
        raise ValueError(
            f"axis {axis} is {length} long, which {shares} equal pieces do not fill;"
            f" write sizes, as in {written.roles[0]}=64,..., or the other axis, @axis{1 - axis}"
        )
    return (size,) * len(written.roles)
