"""How people see and steer it."""
