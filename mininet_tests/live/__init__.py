"""Tests on real switches."""
