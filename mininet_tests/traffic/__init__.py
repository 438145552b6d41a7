"""Small programs that send and receive traffic inside lab hosts."""
