package tls

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	ctls "crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// ticketPeriod is how long one session ticket key encrypts new tickets. Tickets of
// the period before are still accepted, so a ticket lives for at most two periods,
// and a stolen key opens no more than that.
const ticketPeriod = 12 * time.Hour

// tickets derives the session ticket keys from the site's tickets.key and the time,
// so every balancer has the same keys at the same moment and nothing is exchanged.
type tickets struct {
	secret []byte
}

// newTickets reads the site's key; where the site has no secrets, one of this
// process's own is drawn and tickets work on this node only.
func newTickets(dir string) (*tickets, error) {
	secret, err := ReadKey(dir, "tickets.key")
	if errors.Is(err, os.ErrNotExist) {
		secret = make([]byte, 32)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("draw a ticket key: %w", err)
		}
		return &tickets{secret}, nil
	}
	if err != nil {
		return nil, err
	}
	return &tickets{secret}, nil
}

// keys returns the key that encrypts at now, then those that still decrypt: the
// period before, and the one after, since another node's clock may be ahead.
func (t *tickets) keys(now time.Time) [][32]byte {
	period := now.Unix() / int64(ticketPeriod/time.Second)
	return [][32]byte{t.derive(period), t.derive(period - 1), t.derive(period + 1)}
}

func (t *tickets) derive(period int64) (key [32]byte) {
	mac := hmac.New(sha256.New, t.secret)
	mac.Write([]byte("stack session ticket\x00"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(period)))
	mac.Sum(key[:0])
	return key
}

func (t *tickets) install(config *ctls.Config, now time.Time) {
	config.SetSessionTicketKeys(t.keys(now))
}
