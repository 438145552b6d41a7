"""Messages between the controller and the analysis, and their framing."""
