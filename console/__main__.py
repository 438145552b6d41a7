"""`python -m console` is `septum`."""

from console.cli import main

main()
