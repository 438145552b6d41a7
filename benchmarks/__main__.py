"""`python -m benchmarks [NAME]`: run every measurement whose name starts with NAME."""

from benchmarks.runner import main

main()
