"""Which batch size to train with: from frames to sentences."""
