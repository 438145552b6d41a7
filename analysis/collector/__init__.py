"""The collector: flow exports over UDP in, records for the running analysis out."""
