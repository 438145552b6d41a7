"""A client and a server of files, with helpers for FTP and TFTP."""

from __future__ import annotations

TEXT = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: files}
hosts:
  client: {mac: "02:00:00:00:00:01", ip: [10.9.0.1, "fd09::1"], switch: 1, port: 1}
  server: {mac: "02:00:00:00:00:02", ip: [10.9.0.2, "fd09::2"], switch: 1, port: 2}
segments:
  clients: {members: [{host: client}], mode: enforce}
  servers: {members: [{host: server}], mode: enforce}
services:
  files: [{port: tcp/21, helper: ftp}]
  boot: [{port: udp/69, helper: tftp}]
intents:
  - {name: files, from: clients, to: servers, services: [files, boot]}
  - {name: no-calls, from: servers, to: clients, services: [tcp], action: deny, tier: security}
defaults: {action: deny, mode: enforce}
"""
