"""Statistics of tensors' elements whatever their places."""
