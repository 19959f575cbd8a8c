"""What a run writes: folders, provenance, contact sheets, pages."""
