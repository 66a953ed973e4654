"""What a person looks at: the ledger as a tree, figures."""
