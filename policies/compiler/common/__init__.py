"""What every target shares: identities, codes, placement, port guard, change between rule sets."""
