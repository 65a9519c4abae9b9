"""Templates of enrolled subjects: kept, searched, compared, erased."""
