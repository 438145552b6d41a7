"""Which connection speaks for a switch."""
