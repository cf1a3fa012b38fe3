"""Ranking: pure functions from the candidates of a query to their order.

Every profile ranks here, so that equal candidates give equal results whatever store found them (semantics 8).
"""
