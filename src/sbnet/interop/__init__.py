"""Foreign weights in, our own checkpoints in and out."""
