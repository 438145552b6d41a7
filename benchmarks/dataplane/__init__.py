"""Measurements of switches, their rules and the controller's OpenFlow side."""
