"""What to do about it: decisions and their life, the envelope, the audit, the state store.

Start reading at `analysis.pipeline`: a record goes in, and a decision may come out. `envelope`
says how far it may go, `lifecycle` is the only place that changes a decision, `store` and
`audit` keep everything, `framing` is how processes talk about it.
"""
