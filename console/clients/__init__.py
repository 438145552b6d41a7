"""Ask the running controller and analysis, or open their state directory."""
