"""From coarse, incomplete layouts to dense ones."""
