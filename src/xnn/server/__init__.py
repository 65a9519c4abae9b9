"""What the recognising service holds: the student, and what its records must be."""
