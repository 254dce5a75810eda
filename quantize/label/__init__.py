"""Step ``label``: teachers fill in what the labels of photos leave open."""
