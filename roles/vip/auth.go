package vip

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"
	"net/netip"
	"time"
)

// The trailer that authenticates an advert of version 3 follows its addresses:
//
//	0..3    "stk1"
//	4..7    which key: the first bytes of its SHA-256
//	8..15   sequence number, big-endian; grows with every advert of the sender
//	16..47  HMAC-SHA256 over sender and receiver (of the IP header, 16 bytes each, IPv4
//	        as ::ffff:a.b.c.d), the advert with a checksum of 0, and bytes 0..15
//
// The key is HMAC-SHA256(vrrp.key, "stack VRRP" 0 VRID): an advert of one virtual router
// is none of another. The checksum of the advert covers the trailer too.
const (
	trailerLength = 48
	macOffset     = 16
)

var trailerMagic = []byte("stk1")

// maxSenders bounds the senders whose sequence a group remembers; only the holder of the
// key is remembered at all.
const maxSenders = 256

var (
	errUnsigned  = errors.New("no authentication")
	errSigned    = errors.New("authenticated, but this node has no key")
	errOtherKey  = errors.New("another key")
	errForged    = errors.New("wrong authentication")
	errReplay    = errors.New("replay")
	errSenderMax = errors.New("too many senders")
)

// authenticator signs and checks the adverts of one virtual router.
type authenticator struct {
	mac      hash.Hash
	key      [4]byte
	sequence *sequence
	number   uint64 // of the advert that is sent
	heard    map[netip.Addr]uint64
	scratch  [32]byte
	pair     [32]byte
	sum      [sha256.Size]byte
}

func newAuthenticator(secret []byte, vrid uint8, sequence *sequence, heard map[netip.Addr]uint64) *authenticator {
	derive := hmac.New(sha256.New, secret)
	derive.Write(append([]byte("stack VRRP\x00"), vrid))
	key := derive.Sum(nil)
	id := sha256.Sum256(key)
	return &authenticator{mac: hmac.New(sha256.New, key), key: [4]byte(id[:4]), sequence: sequence, heard: heard}
}

// next begins a new advert; its copies to several peers have one number.
func (a *authenticator) next() { a.number = a.sequence.next() }

// seal appends the trailer to an advert whose checksum is 0.
func (a *authenticator) seal(payload []byte, from, to netip.Addr) []byte {
	payload = append(payload, trailerMagic...)
	payload = append(payload, a.key[:]...)
	payload = binary.BigEndian.AppendUint64(payload, a.number)
	return append(payload, a.compute(payload, from, to)...)
}

// compute is the MAC over the addresses and signed; it is overwritten by the next call.
func (a *authenticator) compute(signed []byte, from, to netip.Addr) []byte {
	f, t := from.As16(), to.As16()
	copy(a.pair[:], f[:])
	copy(a.pair[16:], t[:])
	copy(a.scratch[:], signed[:headLength])
	a.scratch[6], a.scratch[7] = 0, 0
	a.mac.Reset()
	a.mac.Write(a.pair[:])
	a.mac.Write(a.scratch[:headLength])
	a.mac.Write(signed[headLength:])
	return a.mac.Sum(a.sum[:0])
}

// check tells whether payload, whose trailer Parse has found, comes from a holder of
// the key and was not heard before. a is nil where adverts are not authenticated.
func (a *authenticator) check(payload, trailer []byte, from, to netip.Addr) error {
	switch {
	case a == nil && len(trailer) > 0:
		return errSigned
	case a == nil:
		return nil
	case len(trailer) == 0:
		return errUnsigned
	case !bytes.HasPrefix(trailer, trailerMagic):
		return errForged
	case [4]byte(trailer[4:8]) != a.key:
		return errOtherKey
	case subtle.ConstantTimeCompare(a.compute(payload[:len(payload)-trailerLength+macOffset], from, to), trailer[macOffset:]) != 1:
		return errForged
	}
	number := binary.BigEndian.Uint64(trailer[8:])
	last, known := a.heard[from]
	switch {
	case number <= last:
		return errReplay
	case !known && len(a.heard) >= maxSenders:
		return errSenderMax
	}
	a.heard[from] = number
	return nil
}

// remember adds the numbers heard to those of other groups.
func (a *authenticator) remember(vrid uint8, heard map[string]uint64) {
	for from, number := range a.heard {
		heard[heardKey(vrid, from)] = number
	}
}

// learn takes what another authenticator of the same virtual router has heard.
func (a *authenticator) learn(vrid uint8, heard map[string]uint64) {
	for key, number := range heard {
		if from, ours := heardFrom(vrid, key); ours {
			a.heard[from] = max(a.heard[from], number)
		}
	}
}

// heard are the numbers that the groups have heard, and the last one of our own; 0 where
// none authenticates. It runs on the engine's thread.
func (e *engine) heard() (heard map[string]uint64, last uint64) {
	heard = map[string]uint64{}
	for _, g := range e.groups {
		if g.auth != nil {
			g.auth.remember(g.router.vrid, heard)
			last = g.auth.sequence.last
		}
	}
	return heard, last
}

// numbers is heard for other threads.
func (e *engine) numbers() (heard map[string]uint64, last uint64) {
	e.call(func(time.Time) { heard, last = e.heard() })
	return heard, last
}
