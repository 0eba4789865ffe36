"""`tallystick demo`: agents that charge orders, and are killed while they do."""
