"""A dataset's name becomes arrays, then tensors on a device."""
