"""What a model file is, read before an engine gets it: what it holds, takes and gives, and what it was made for."""
