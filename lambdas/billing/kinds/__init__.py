"""Price kinds: how a quantity of one event becomes priced parts. One small pure module per kind (R9, D8, K8).

Each has `parts(rate, position, quantity, total)`: `position` is what the charge counted before in the period and
`total` what it counts in the whole period, both after included units. The parts' quantities add up to `quantity`.
"""
