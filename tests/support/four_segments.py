"""A policy text that has something of everything, for two switches."""

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
hosts:
  a1: {mac: "00:00:00:00:01:01", ip: [10.0.1.1, "fd00:1::1"], switch: 1, port: 1, labels: {role: a}}
  a2: {mac: "00:00:00:00:01:02", ip: [10.0.1.2], switch: 1, port: 2, labels: {role: a}}
  b1: {mac: "00:00:00:00:02:01", ip: [10.0.2.1, "fd00:2::1"], switch: 1, port: 3, labels: {role: b}}
  c1: {mac: "00:00:00:00:03:01", ip: [10.0.3.1, "fd00:3::1"], switch: 2, port: 1, labels: {role: c}}
  d1: {mac: "00:00:00:00:04:01", ip: [10.0.4.1], switch: 2, port: 2, labels: {role: d}}
segments:
  a: {members: [{labels: {role: a}}], mode: enforce}
  b: {members: [{labels: {role: b}}], mode: audit}
  c: {members: [{labels: {role: c}}], mode: observe}
  wide: {members: [{cidr: 10.0.0.0/16, except: [10.0.4.0/24]}], mode: observe}
intents:
  - {name: web, from: a, to: b, services: [tcp/80, tcp/8000-8010, icmp]}
  - {name: near, from: wide, to: c, services: [udp/53, tcp/80]}
  - {name: shut, from: any, to: c, services: [tcp/80-90], action: deny, tier: security}
  - {name: guests, from: unknown, to: b, services: [tcp/443], tier: baseline}
  - {name: rescue, from: any, to: a, services: [tcp/22, icmpv6/echo-request], tier: emergency}
  - {name: tunnels, from: c, to: any, services: [ip/47, sctp/9000]}
defaults: {action: deny, mode: observe}
"""
