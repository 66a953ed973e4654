"""The proofs as code: a task goes in, exact weights and a ledger of every inequality come out; `compile` is the method on one page."""
