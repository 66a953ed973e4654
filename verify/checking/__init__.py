"""What `check` is made of: the files of a certified model, ReLU nets over boxes, and the inequality of a leaf."""
