"""What the experiments share: trainable mixtures, one way of training them, one way of measuring anything, and a store of results."""
