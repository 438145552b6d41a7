"""The sub-commands of `septum`, one module each."""
