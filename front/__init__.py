"""From a task to a model, proved if that is asked for: the one room that both builds and proves."""
