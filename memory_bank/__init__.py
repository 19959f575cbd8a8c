"""What we have: photographs cut into segments, stored and searchable."""
