"""Flow exports as routers send them over UDP: NetFlow and IPFIX."""
