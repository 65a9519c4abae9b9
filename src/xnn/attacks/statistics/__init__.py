"""[ADVERSARY] The numerics that several attacks share."""
