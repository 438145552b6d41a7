"""The command line: how people inspect and control Septum."""
