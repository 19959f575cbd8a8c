"""Who is in front."""
