"""A procedural street world with exact labels, instances, depth and occlusion."""
