"""The link to the analysis and the local control socket."""
