"""Threat feeds: published lists of hostile addresses, checked before use.

`read` turns a feed's bytes into `Entry` values (`lists`, `table`, `stix`), `admission` refuses
what would hurt this network, `aggregate` makes the fewest prefixes of the rest, and `keeper`
knows which feed is due, what it last said and how old that is. Nothing here opens a socket:
fetching is `analysis.feed_fetcher`'s.
"""
