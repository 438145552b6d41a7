"""A scripted day on a lab network: traffic, attack, timeline, report."""
