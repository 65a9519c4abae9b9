"""[ADVERSARY] Attacks on what a device sends: noisy features in flight, front end open to queries."""
