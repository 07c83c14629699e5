"""The network as a graph of Keras layers: walked, frozen to float32, folded."""
