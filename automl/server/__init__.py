"""The service: submit a task, watch it, take the model home, over HTTP and in a browser. It imports no JAX."""
