"""The time that Septum goes by: it never steps, whatever is done to the system's clock."""
