"""The composition root: settings, and a server built from them."""
