"""PyTorch modules and skorch nets: steps that run through torch, where the rest is native."""
