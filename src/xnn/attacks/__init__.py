"""[ADVERSARY] Attacks. They see an `Observation`, draw keys of their own, and nothing else."""
