"""What is remembered of hosts, edges and address ranges, in bounded memory."""
