"""What a run logs and what is found in it, passed on to wandb, MLflow or TensorBoard as well."""
