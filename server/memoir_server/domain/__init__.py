"""What memories are and how they behave: plain data and pure functions. Imports nothing else of ours."""
