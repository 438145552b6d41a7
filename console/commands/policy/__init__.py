"""Sub-commands of ``septum policy``, one module each; `group` puts them together."""
