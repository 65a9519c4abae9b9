"""Scenarios that play the parties, judges that know the truth, and the boards they fill."""
