"""Networks of real switches and namespaces: planned, built, watched, torn down."""
