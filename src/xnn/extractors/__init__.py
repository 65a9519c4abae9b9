"""Frozen networks that turn crops into tokens. Run by the owner or a device."""
