"""What is allowed: reading, checking, judging, comparing and recommending policies.

A policy comes in through `policies.reader`, is a `policies.model.Policy` from
then on, and is judged by `policies.verdict` with the segments that
`policies.membership` finds for each address.
"""
