"""The gRPC services: contract to domain and back, and nothing else."""
