"""The command line. See `edgeface.cli.app` for how to add a verb."""
