package exchange

// A WebSocket in a stream of a client's HTTP/2 connection (RFC 8441) is an upgraded
// HTTP/1 connection towards the server; what is between the two is passed on here.

// upgradeStream tells the client that the server has agreed.
func (f *forward) upgradeStream() {
	x := f.x
	f.resp.Status = 200
	x.phase, x.status, f.status = inRelay, 200, 101
	f.relayHead(false)
	f.phase = fwdTunnel
	f.deadline(0)
	f.touchTunnel()
	x.st.again()
}

// touchTunnel counts anew towards the bound of silence.
func (f *forward) touchTunnel() { f.x.st.deadline(f.pass.Timeouts.Tunnel) }

// tunnelDown passes on what the server sent.
func (f *forward) tunnelDown(p []byte) {
	x := f.x
	if len(p) == 0 {
		return
	}
	f.touchTunnel()
	x.writeContent(p, false)
	if x.blocked() {
		f.pause()
	}
}

// tunnelFull: the server takes nothing more for now.
func (f *forward) tunnelFull() bool { return f.s == nil || f.s.shut || f.s.blocked() }

// tunnelUp passes on what the client sent; last: it will send no more.
func (f *forward) tunnelUp(p []byte, last bool) {
	x, s := f.x, f.s
	f.touchTunnel()
	x.bytesIn += int64(len(p))
	s.write(p)
	if last {
		s.shutdown()
	}
	x.w.flushOf(&s.sock)
	if s.blocked() {
		s.starved = true
	}
}

// tunnelEnded: the server has ended its direction, or the connection.
func (f *forward) tunnelEnded() {
	x := f.x
	f.phase = fwdDone
	f.release(None, nil)
	x.st.write(nil, true)
	x.complete()
}
