"""Neutron's server. Arguments: those of neutron-server."""
from neutron.cmd.eventlet.server import main

main()
