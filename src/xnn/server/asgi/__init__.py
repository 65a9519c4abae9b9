"""What stands around every route: headers, limits, log lines."""
