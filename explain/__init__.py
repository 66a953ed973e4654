"""Why a point came out as it did, and where a neuron comes from."""
