"""Bending a segment to its query."""
