"""Writes every dashboard's JSON to where Grafana's provisioning looks."""

from __future__ import annotations

from deploy.grafana.boards import BOARDS, FOLDER, text

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for uid in BOARDS:
        (FOLDER / f"{uid}.json").write_text(text(uid), encoding="utf-8")
