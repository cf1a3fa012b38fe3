"""What the service needs of the world, as abstract classes. Their docstrings are the contract of every adapter."""
