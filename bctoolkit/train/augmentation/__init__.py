"""How images are changed while training: the operations, the policy that draws them, a picture of both."""
