"""How several projections lie in one matrix: known by name and module, or told by the user.

GPT-2 keeps queries, keys and values one after the other, GPT-NeoX head by head. A split by the
wrong one mixes them, so where the packing is not certain there is none. ``docs/methods/packing.md``
lists what is known.
"""

from bifurk.packing.families import packing_of
from bifurk.packing.text import check_packings, parse_packing, read_packing
from bifurk.packing.value import MOST_CHARACTERS, MOST_PIECES, WHOLE, Packing

__all__ = [
    "MOST_CHARACTERS",
    "MOST_PIECES",
    "WHOLE",
    "Packing",
    "check_packings",
    "packing_of",
    "parse_packing",
    "read_packing",
]
