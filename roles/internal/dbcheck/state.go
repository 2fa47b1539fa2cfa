package dbcheck

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Account is the name of the account as which balancers ask. It is in no catalog and may give
// Statement only, which any other account may give too.
const Account = "stack.balancer"

// Statement is what is asked. Its answer is one row of the Columns.
const Statement = "SHOW STACK ROLE"

// Columns of the answer: Epoch a BIGINT UNSIGNED, Open and Follows 0 or 1, Lag in milliseconds or
// NULL where it is not known.
var Columns = []string{"Name", "Epoch", "Primary", "Open", "Follows", "Lag"}

// Password is the password of Account, from the site's balancer key.
func Password(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("stack: account of the balancers, 1"))
	return hex.EncodeToString(m.Sum(nil))
}

// State is what a server says of itself.
type State struct {
	Name    string
	Epoch   uint64 // the highest that it has accepted
	Primary string // of that epoch; empty: nobody is yet
	Open    bool   // takes writes
	Follows bool   // receives from the primary of the epoch
	// Lag is by how much it is behind, as far as it knows.
	Lag      time.Duration
	LagKnown bool
}

// String is for an operator.
func (s State) String() string {
	switch {
	case s.Open:
		return fmt.Sprintf("primary of epoch %d", s.Epoch)
	case s.Primary == s.Name:
		return fmt.Sprintf("primary of epoch %d, but takes no writes", s.Epoch)
	case !s.Follows:
		return fmt.Sprintf("follows nobody, epoch %d", s.Epoch)
	case !s.LagKnown:
		return fmt.Sprintf("replica of %s, epoch %d, lag not known", s.Primary, s.Epoch)
	}
	return fmt.Sprintf("replica of %s, epoch %d, lag %v", s.Primary, s.Epoch, s.Lag.Round(time.Millisecond))
}
