"""What learns, how fast, and adapters in its place."""
