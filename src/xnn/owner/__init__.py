"""[TRUSTED] What the data owner runs: photographs, names and keys are together only here."""
