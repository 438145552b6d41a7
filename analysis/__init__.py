"""The process that runs detection and response: composition, feeds, snapshots, local sockets."""
