"""TFLite, converted once; its quantizations are passes over that graph."""
