"""The process that proves what the controller is about to send, before or beside it."""
