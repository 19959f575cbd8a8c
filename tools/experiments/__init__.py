"""Experiments that ask whether compositions are of use."""
