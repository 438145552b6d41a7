"""Why something does not work: from what is known of a network to findings, cause first."""
