"""From a layout, and the segments placed on it, to a photograph."""
