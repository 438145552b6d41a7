"""How well detection works: injected episodes, recorded traffic, figures with targets."""
