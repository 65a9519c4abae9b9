"""[ADVERSARY] Attacks on the upload: keyed records in the hands of the cloud or a thief."""
