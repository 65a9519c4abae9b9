"""What a device holds and does: crops in, records with noise out."""
