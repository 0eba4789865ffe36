"""What undoing an effect is made of: the plan that is recorded, names, acts, what came of it."""
