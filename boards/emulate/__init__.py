"""ARM boards without a board: an arm64 root under qemu-user, executed instructions as a cost that no host changes."""
