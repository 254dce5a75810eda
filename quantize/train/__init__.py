"""Step ``train``: views cut from packed photos, assignment of faces to cells, losses, and the loop."""
