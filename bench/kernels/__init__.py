"""The recurrent layers beside torch.nn, onnxruntime, and Keras on JAX: time and memory, all in one process."""
