"""What the trainer can train: one file a network."""
