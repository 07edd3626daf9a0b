"""Figures built in Python from arrays: pure, no database and no HTTP; Bokeh draws them."""
