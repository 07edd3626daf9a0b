"""The page: server-rendered, its figures built in Python; it reads what REST reads."""

from bifurk_service.pages import assets, run, runs, sign_in

PAGES = (runs.router, run.router, sign_in.router, assets.router)
"""Routers, in the order of their paths."""
