package lan

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Advert is a VRRP advert as the switch received it.
type Advert struct {
	At       time.Time // by the kernel
	Host     string    // behind whose port it came in
	From, To netip.Addr
	Version  int
	VRID     uint8
	Priority uint8
	Interval time.Duration
	Frame    []byte // from the Ethernet header on
}

// Announcement is a gratuitous ARP request or an unsolicited neighbour advertisement.
type Announcement struct {
	At      time.Time
	Host    string
	Address netip.Addr
}

// Recorder notes every VRRP advert and every announcement of an address that a host sends.
type Recorder struct {
	lan  *LAN
	fd   int
	stop atomic.Bool
	done chan struct{}

	mu            sync.Mutex
	adverts       []Advert
	announcements []Announcement
}

const (
	protocolVRRP          = 112
	neighborAdvertisement = 136
	maxFrame              = 2048
)

// Record listens at every port of the switch, before any cut.
func (l *LAN) Record() (*Recorder, error) {
	r := &Recorder{lan: l, done: make(chan struct{})}
	if err := l.In(switchName, r.open); err != nil {
		return nil, fmt.Errorf("record adverts: %w", err)
	}
	go r.run()
	return r, nil
}

func (r *Recorder) open() error {
	// Ethernet: type at 12; IPv4: protocol at 23; IPv6: next header at 20, ICMP type at 54.
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 2},
		bpf.LoadAbsolute{Off: 23, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolVRRP, SkipTrue: 5, SkipFalse: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 5},
		bpf.LoadAbsolute{Off: 20, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolVRRP, SkipTrue: 2},
		bpf.LoadAbsolute{Off: 54, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: neighborAdvertisement, SkipFalse: 1},
		bpf.RetConstant{Val: maxFrame},
		bpf.RetConstant{},
	})
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		program[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	// Protocol 0 receives nothing until the filter is there.
	if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	for _, option := range [][2]int{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}, {unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING}} {
		if err == nil {
			err = unix.SetsockoptInt(r.fd, option[0], option[1], 1)
		}
	}
	if err == nil {
		err = unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	}
	if err == nil {
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL})
		err = unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all})
	}
	if err != nil {
		unix.Close(r.fd)
	}
	return err
}

func (r *Recorder) run() {
	defer close(r.done)
	defer unix.Close(r.fd)
	buffer, control := make([]byte, maxFrame), make([]byte, 128)
	for !r.stop.Load() {
		n, controls, _, from, err := unix.Recvmsg(r.fd, buffer, control, 0)
		if err != nil {
			continue // the time-out
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		host := r.lan.behind(link.Ifindex)
		if host == "" {
			continue // the bridge itself, which sees it again
		}
		r.note(host, stamped(control[:controls]), buffer[:n])
	}
}

func (r *Recorder) note(host string, at time.Time, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.adverts)+len(r.announcements) >= maxRecords {
		return
	}
	if address := announced(frame); address.IsValid() {
		r.announcements = append(r.announcements, Announcement{at, host, address})
	} else if a, ok := parse(frame); ok {
		a.Host, a.At = host, at
		r.adverts = append(r.adverts, a)
	}
}

// announced is the address of an announcement, the zero one for any other frame.
func announced(frame []byte) (none netip.Addr) {
	const ethernet, ip6 = 14, 40
	switch {
	case len(frame) >= ethernet+28 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_ARP:
		sender, target := [4]byte(frame[ethernet+14:]), [4]byte(frame[ethernet+24:])
		if sender == target {
			return netip.AddrFrom4(sender)
		}
	case len(frame) >= ethernet+ip6+24 && frame[20] == 58 && frame[ethernet+ip6] == neighborAdvertisement:
		const solicited = 0x40
		if frame[ethernet+ip6+4]&solicited == 0 {
			return netip.AddrFrom16([16]byte(frame[ethernet+ip6+8:]))
		}
	}
	return none
}

// stamped is when the kernel received the packet.
func stamped(control []byte) time.Time {
	list, err := unix.ParseSocketControlMessage(control)
	if err == nil {
		for _, m := range list {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

// parse reads a frame that the filter let through. It shares no code with what it judges.
func parse(frame []byte) (a Advert, ok bool) {
	const ethernet, ip4, ip6 = 14, 20, 40
	if len(frame) < ethernet+ip4 {
		return a, false
	}
	packet := frame[ethernet:]
	var payload []byte
	if packet[0]>>4 == 6 && len(packet) > ip6 {
		a.From, a.To = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		payload = packet[ip6:]
	} else {
		a.From, a.To = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		payload = packet[min(len(packet), int(packet[0]&0x0f)*4):]
	}
	if len(payload) < 8 {
		return a, false
	}
	a.Version, a.VRID, a.Priority = int(payload[0]>>4), payload[1], payload[2]
	if a.Version == 2 {
		a.Interval = time.Duration(payload[5]) * time.Second
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(payload[4:])&0x0fff) * 10 * time.Millisecond
	}
	a.Frame = append([]byte{}, frame...)
	return a, true
}

// Stop ends the recording; what was recorded can still be asked for.
func (r *Recorder) Stop() {
	r.stop.Store(true)
	<-r.done
}

// Since returns the adverts of a virtual router that arrived after a time.
func (r *Recorder) Since(t time.Time, vrid uint8) (list []Advert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.adverts {
		if a.VRID == vrid && a.At.After(t) {
			list = append(list, a)
		}
	}
	return list
}

// Announcements returns those of an address that arrived after a time.
func (r *Recorder) Announcements(t time.Time, address netip.Addr) (list []Announcement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.announcements {
		if a.Address == address && a.At.After(t) {
			list = append(list, a)
		}
	}
	return list
}

// Masters are the hosts that have called themselves master of a virtual router since a time.
func (r *Recorder) Masters(since time.Time, vrid uint8) map[string]int {
	hosts := make(map[string]int)
	for _, a := range r.Since(since, vrid) {
		if a.Priority > 0 {
			hosts[a.Host]++
		}
	}
	return hosts
}
