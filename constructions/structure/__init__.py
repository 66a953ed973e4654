"""Exact structure: functions that are sums, products and polynomials of few variables are built from their formula, with a bound."""
