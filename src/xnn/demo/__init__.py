"""`xnn demo`: the whole way from photographs to a report, on real faces, in minutes."""
