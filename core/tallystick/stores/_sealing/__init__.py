"""A store behind a user's key: what goes in is sealed, what comes out is opened."""
