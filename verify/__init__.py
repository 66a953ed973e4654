"""Does it hold? `sample` for evidence, `prove` for every point, `check` for whoever trusts neither; none of them imports a builder."""
