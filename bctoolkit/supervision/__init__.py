"""Models of others run in processes of their own, which may hang or crash: somebody waits for them and says why."""
