"""Samples every claim of the ledger on the weights as they are."""
