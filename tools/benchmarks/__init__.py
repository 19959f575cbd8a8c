"""Measurements that the project ships."""
