"""Readers of the standard folder forms of labelled photographs."""
