"""Trainable networks: the tail, its margin head, and the blocks they are made of."""
