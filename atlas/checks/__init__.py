"""What `lint` looks at, one assumption of the theorems per file."""
