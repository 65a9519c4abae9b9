"""[ADVERSARY] Attacks on what a device sends: noisy features, a front end open to queries."""
