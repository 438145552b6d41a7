"""Policy files to a checked policy: grammar, sources, inventory, diagnostics."""
