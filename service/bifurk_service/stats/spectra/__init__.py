"""Singular spectra of matrices against random-matrix theory."""
