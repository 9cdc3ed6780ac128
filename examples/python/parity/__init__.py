"""Proof that Lamina computes what others do, with their files: `make parity` prints it."""
