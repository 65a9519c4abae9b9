"""The `xnn` command line: noun, then verb. Typer lives here and nowhere else."""
