"""Links between switches and the locations of hosts."""
