"""XNN-d's training: a teacher, a game that trains the noise, a student. Sees raw faces."""
