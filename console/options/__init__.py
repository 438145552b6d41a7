"""Command-line options and output forms that several commands share."""
