"""The only room that speaks OpenFlow."""
