"""A mechanism driver of ML2 that binds bare metal ports without a switch, for tests.

A port behind a switch port "deaf" is refused. One behind "slow" is bound, and becomes ACTIVE when its description says "up".
"""
from neutron_lib.api.definitions import portbindings
from neutron_lib import constants
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api


class Binder(api.MechanismDriver):

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2  # ports without an address are bound, too

    def initialize(self):
        pass

    def bind_port(self, context):
        port = context.current
        if port[portbindings.VNIC_TYPE] != portbindings.VNIC_BAREMETAL:
            return
        links = port[portbindings.PROFILE].get('local_link_information') or []
        behind = [link.get('port_id') for link in links]
        if 'deaf' in behind:
            return
        status = constants.PORT_STATUS_ACTIVE
        if 'slow' in behind:
            status = constants.PORT_STATUS_DOWN
        for segment in context.segments_to_bind:
            context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, {}, status=status)
            return

    def update_port_postcommit(self, context):
        port = context.current
        if port['description'] == 'up' and port['status'] != constants.PORT_STATUS_ACTIVE:
            directory.get_plugin().update_port_status(context._plugin_context, port['id'], constants.PORT_STATUS_ACTIVE)
