"""Shared experts: one net that every input meets beside the expert that is routed to it, y = s(x) + r_i(x) (N4 to N6, B7).

The best s for given hidden neurons (`joint`), of which neurons it is made (`dictionaries`), whether it is worth having (`decision`), how a
block on charts gets one (`charts`) and a block on pieces (`pieces`), and what the ledger says of it (`claims`).
"""
