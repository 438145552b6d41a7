"""One OpenFlow connection: session, roles, capabilities, reading, bundles, counters."""
