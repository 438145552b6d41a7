"""Usual names of services, with the ports that IANA has assigned to them or that they ship with.

A policy may use them without defining them, and may define them otherwise. Where a service runs
over TCP and UDP in practice, both are meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from policies.language.scalars import service
from policies.model import Service

_WRITTEN = {
    "amqp": "tcp/5672",
    "bgp": "tcp/179",
    "dns": "udp/53 tcp/53",
    "elasticsearch": "tcp/9200",
    "ftp": "tcp/21",
    "http": "tcp/80",
    "http-alt": "tcp/8080",
    "https": "tcp/443",
    "https-alt": "tcp/8443",
    "imap": "tcp/143",
    "imaps": "tcp/993",
    "ipp": "tcp/631",
    "iscsi": "tcp/3260",
    "kerberos": "tcp/88 udp/88",
    "kubernetes-api": "tcp/6443",
    "ldap": "tcp/389",
    "ldaps": "tcp/636",
    "memcached": "tcp/11211",
    "mongodb": "tcp/27017",
    "mqtt": "tcp/1883",
    "mqtts": "tcp/8883",
    "ms-rpc": "tcp/135",
    "mssql": "tcp/1433",
    "mysql": "tcp/3306",
    "netconf": "tcp/830",
    "nfs": "tcp/2049",
    "ntp": "udp/123",
    "openflow": "tcp/6653",
    "oracle": "tcp/1521",
    "ping": "icmp/echo-request icmpv6/echo-request",
    "pop3": "tcp/110",
    "pop3s": "tcp/995",
    "postgresql": "tcp/5432",
    "radius": "udp/1812-1813",
    "rdp": "tcp/3389 udp/3389",
    "redis": "tcp/6379",
    "rpcbind": "tcp/111 udp/111",
    "rsync": "tcp/873",
    "sip": "udp/5060 tcp/5060",
    "sips": "tcp/5061",
    "smb": "tcp/445",
    "smtp": "tcp/25",
    "snmp": "udp/161",
    "snmp-trap": "udp/162",
    "ssh": "tcp/22",
    "submission": "tcp/587",
    "submissions": "tcp/465",
    "syslog": "udp/514",
    "syslog-tls": "tcp/6514",
    "tacacs": "tcp/49",
    "telnet": "tcp/23",
    "tftp": "udp/69",
    "vnc": "tcp/5900",
    "winrm": "tcp/5985-5986",
}

ASSIGNED: Mapping[str, tuple[Service, ...]] = MappingProxyType(
    {name: tuple(map(service, text.split())) for name, text in _WRITTEN.items()}
)
"""Services by name, in the order of their names."""
