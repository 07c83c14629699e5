"""Where images come from: folders, arrays, the synthetic set, a download."""
