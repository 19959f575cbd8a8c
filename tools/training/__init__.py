"""Training the networks of this program: one loop, checkpoints that carry everything."""
