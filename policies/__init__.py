"""What is allowed: reading, checking, judging, comparing and recommending policies.

A policy comes in through `policies.language.reader`, is a `policies.model.Policy` from
then on, and is judged by `policies.semantics.verdict` with the segments that
`policies.semantics.membership` finds for each address.
"""
