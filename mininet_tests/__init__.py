"""Real networks: lab topologies, real programs in them, scenarios as data, live tests.

Read in this order: ``plan`` (what a network is), ``lab`` (making it from
Mininet and Open vSwitch), ``programs`` and ``actions`` (who serves, who asks),
``scenario`` (a day as data), ``demo`` (running one against the controller).
"""
