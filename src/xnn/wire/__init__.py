"""What travels from a device to the service: one versioned, bounded, authenticated message."""
