"""The `memoir` command line."""
