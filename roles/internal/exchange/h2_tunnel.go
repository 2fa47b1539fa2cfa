package exchange

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"

	"stack/roles/internal/http1"
)

// A WebSocket is an upgraded connection in HTTP/1 and a stream that extended CONNECT has
// opened in HTTP/2 (RFC 8441). Where at least one of the two sides is a stream, what is
// between them is passed on here; two connections are a tunnel.

var errNoWebSocket = errors.New("the server takes no WebSockets over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)")

// wantsWebSocket says whether the request is to be sent as an extended CONNECT. Other
// upgrades have no form in HTTP/2: the server is asked without them, as it may ignore them.
func (f *forward) wantsWebSocket() bool {
	r := &f.x.Req
	if !r.Upgrades() {
		return false
	}
	value, _ := r.Find(http1.Upgrade)
	return http1.EqualFold(value, "websocket")
}

// tunnelAhead says whether the head that is relayed opens a tunnel with a stream on one side.
func (f *forward) tunnelAhead() bool {
	return f.status == 101 && (f.x.st != nil || f.websocket)
}

// upgradeStream tells the client that the server has agreed.
func (f *forward) upgradeStream() {
	x := f.x
	f.status = 101
	x.phase, x.closeAfter = inRelay, true
	x.status, f.resp.Status = 101, 101
	if x.st != nil {
		x.status, f.resp.Status = 200, 200
	}
	f.relayHead(false)
	f.phase = fwdTunnel
	f.deadline(0)
	f.touchTunnel()
	if x.st == nil { // what follows on the connection is content
		x.bodyDone, x.wantBody, x.bodyPaused = false, true, false
	}
	x.again()
}

// addUpgrade completes the head of 101 for an HTTP/1 client whose server speaks HTTP/2.
func (f *forward) addUpgrade(h *Header) {
	r := &f.x.Req
	value, _ := r.Find(http1.Upgrade)
	h.Raw("Connection: upgrade\r\nUpgrade: ")
	h.RawBytes(value)
	h.Raw("\r\n")
	if key, ok := r.Get("sec-websocket-key"); ok { // the proof of RFC 6455 section 4.2.2
		hash := sha1.New()
		hash.Write(key)
		hash.Write([]byte("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		h.Raw("Sec-WebSocket-Accept: ")
		h.B = base64.StdEncoding.AppendEncode(h.B, hash.Sum(nil))
		h.Raw("\r\n")
	}
}

// touchTunnel counts anew towards the bound of silence.
func (f *forward) touchTunnel() { f.x.arm(f.pass.Timeouts.Tunnel) }

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
func (f *forward) tunnelFull() bool {
	switch {
	case f.s != nil:
		return f.s.shut || f.s.blocked()
	case f.st != nil:
		return f.st.outEnd || f.st.blocked()
	}
	return true
}

// tunnelUp passes on what the client sent; last: it will send no more.
func (f *forward) tunnelUp(p []byte, last bool) {
	x := f.x
	f.touchTunnel()
	x.bytesIn += int64(len(p))
	if f.st != nil {
		f.st.write(p, last)
	} else {
		f.s.write(p)
		if last {
			f.s.shutdown()
		}
		x.w.flushOf(&f.s.sock)
		if f.s.blocked() {
			f.s.starved = true
		}
	}
	if x.st == nil && !last && f.tunnelFull() {
		x.PauseBody()
	}
}

// tunnelDrained: the server takes more.
func (f *forward) tunnelDrained() {
	if f.x.st != nil {
		f.x.again()
		return
	}
	f.x.ResumeBody()
}

// tunnelEnded: the server has ended its direction, or the connection.
func (f *forward) tunnelEnded() {
	x := f.x
	f.phase = fwdDone
	f.release(None, nil)
	if x.st != nil {
		x.st.write(nil, true)
	}
	x.complete()
}
