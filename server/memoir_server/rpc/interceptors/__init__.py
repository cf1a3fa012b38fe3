"""What happens to every call: trace, authenticate, limit, decode, authorise, validate, answer, map errors.

gRPC's own interceptor interface builds a handler anew for every call; wrapping each handler once when it is registered
does the same for a fraction of the time. `chain` composes the steps, each of which has a file of its own.
"""
