"""Prints the requirements of one dependency group of pyproject.toml, for pip older than 25.1."""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

if __name__ == "__main__":
    groups = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    sys.stdout.write(" ".join(groups[sys.argv[1]]) + "\n")
