"""[ADVERSARY] Attacks on the upload: keyed records at rest, in the hands of the cloud or a thief."""
