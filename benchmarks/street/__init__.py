"""Measurements of the demo, from the first hostile packet to the rule on the switch."""
