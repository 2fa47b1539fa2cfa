package supervise

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/sockets"
)

// A control message is one SOCK_SEQPACKET packet, so it arrives whole or not at all
// and nothing of it can be left half read when the supervisor executes itself:
//
//	0   4          4+n
//	+---+----------+---------------+
//	| n | header   | body          |   n: length of the header, 32 bits big endian
//	+---+----------+---------------+   header: JSON; body: JSON or raw bytes
//
// Descriptors travel beside it (SCM_RIGHTS). A body longer than maxInline travels in a
// memfd, which is then the first descriptor; the header tells its length.
const (
	maxHeader = 4 << 10
	maxInline = 48 << 10
	maxPacket = 4 + maxHeader + maxInline
	maxBody   = 64 << 20
)

// header names a message. A reply has the id and kind of its request.
type header struct {
	ID    uint64 `json:"id"`
	Kind  string `json:"kind"`
	Reply bool   `json:"reply,omitempty"`
	Error string `json:"error,omitempty"` // of a reply
	Memfd int64  `json:"memfd,omitempty"` // length of the body in the first descriptor
}

// frame is a decoded message. The receiver owns the descriptors.
type frame struct {
	header
	body []byte
	fds  []int
}

var errFrame = errors.New("control message is malformed")

// encodeFrame builds the packet of a header and an inline body.
func encodeFrame(h header, body []byte) ([]byte, error) {
	if len(h.Error) > maxHeader/4 {
		h.Error = h.Error[:maxHeader/4] + "…"
	}
	hb, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(hb) > maxHeader || len(body) > maxInline {
		return nil, fmt.Errorf("control message %s: %d bytes of header, %d of body: too long", h.Kind, len(hb), len(body))
	}
	buf := make([]byte, 4, 4+len(hb)+len(body))
	binary.BigEndian.PutUint32(buf, uint32(len(hb)))
	return append(append(buf, hb...), body...), nil
}

// decodeFrame reads a packet. The body is a copy.
func decodeFrame(p []byte) (header, []byte, error) {
	var h header
	if len(p) < 4 {
		return h, nil, errFrame
	}
	n := binary.BigEndian.Uint32(p)
	if n == 0 || n > maxHeader || int(n) > len(p)-4 {
		return h, nil, errFrame
	}
	if err := json.Unmarshal(p[4:4+n], &h); err != nil {
		return h, nil, fmt.Errorf("%w: %v", errFrame, err)
	}
	body := append([]byte(nil), p[4+n:]...)
	if h.Kind == "" || h.Memfd < 0 || h.Memfd > maxBody || (h.Memfd > 0 && len(body) > 0) {
		return h, nil, errFrame
	}
	return h, body, nil
}

// writeFrame sends a message, with its body in a memfd if it is long.
func writeFrame(f *os.File, h header, body []byte, fds []int, deadline time.Time) error {
	if len(body) > maxInline {
		mem, err := memfile("stack-control", body)
		if err != nil {
			return err
		}
		defer unix.Close(mem)
		h.Memfd = int64(len(body))
		fds = append([]int{mem}, fds...)
		body = nil
	}
	packet, err := encodeFrame(h, body)
	if err != nil {
		return err
	}
	if err := f.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return sockets.SendRights(f, packet, fds)
}

// readFrame waits for a message until f's read deadline.
func readFrame(f *os.File, buf []byte) (frame, error) {
	n, fds, err := sockets.ReceiveRights(f, buf)
	if err != nil {
		return frame{}, err
	}
	fr := frame{fds: fds}
	fr.header, fr.body, err = decodeFrame(buf[:n])
	if err == nil && fr.Memfd > 0 {
		if len(fr.fds) == 0 {
			err = errFrame
		} else {
			fr.body, err = readMemfd(fr.fds[0], fr.Memfd)
			unix.Close(fr.fds[0])
			fr.fds = fr.fds[1:]
		}
	}
	if err != nil {
		fr.closeFDs()
		return frame{}, err
	}
	return fr, nil
}

func (f *frame) closeFDs() {
	for _, fd := range f.fds {
		unix.Close(fd)
	}
	f.fds = nil
}

// memfile puts bytes into a memory file that cannot change any more.
func memfile(name string, b []byte) (int, error) {
	if len(b) > maxBody {
		return -1, fmt.Errorf("%s: %d bytes, at most %d", name, len(b), maxBody)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("%s: memory file: %w", name, err)
	}
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("%s: memory file: %w", name, err)
		}
		b = b[n:]
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("%s: memory file: %w", name, err)
	}
	return fd, nil
}

// readMemfd reads n bytes; a file that is shorter is an error.
func readMemfd(fd int, n int64) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%w: %v", errFrame, err)
	}
	if n < 0 || n > maxBody || st.Size < n {
		return nil, errFrame
	}
	b := make([]byte, n)
	for off := int64(0); off < n; {
		k, err := unix.Pread(fd, b[off:], off)
		if err != nil || k == 0 {
			return nil, errFrame
		}
		off += int64(k)
	}
	return b, nil
}
