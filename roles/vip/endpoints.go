package vip

// endpoints are what a group has on its interface. Opening and closing them may wait for
// the kernel (multicast groups need the lock of netlink, packet sockets a grace period of
// RCU), so the thread of the adverts has it done by others.
type endpoints struct {
	transport *transport
	announcer *announcer // nil where the addresses are not ours to set and there is no Ethernet
	strangers *strangers // nil where the addresses are not ours to set
	addresses addresses
}

func openEndpoints(p plan) (endpoints, error) {
	t, err := openTransport(p.device, p.own, p.peers)
	if err != nil {
		return endpoints{}, err
	}
	o := endpoints{transport: t, addresses: addresses{device: p.device}}
	err = t.limit(p.router.vrid, p.peers)
	if err == nil && (!p.unassigned || len(p.device.HardwareAddr) == ethernet) {
		o.announcer, err = openAnnouncer(p.device)
	}
	if err == nil && !p.unassigned {
		o.addresses.list = p.virtual
		o.strangers, err = openStrangers(p.device, p.virtual)
	}
	if err != nil {
		o.close()
		return endpoints{}, err
	}
	return o, nil
}

func (o endpoints) close() {
	o.strangers.close()
	o.announcer.close()
	o.transport.close()
}
