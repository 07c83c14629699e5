"""Augmentation: the operations, the policy that draws them for each image, a picture of both."""
