"""ARM boards without a board: an arm64 root under qemu-user, and executed instructions as a cost that no host changes."""
