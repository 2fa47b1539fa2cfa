package wire

// Change is a change of the session that a client with CLIENT_SESSION_TRACK hears of in
// its next OK packet.
type Change struct {
	Kind  ChangeKind
	Name  string // of the variable
	Value string // of the variable; a GTID set
}

// ChangeKind is what has changed ("Session State Information" of the protocol).
type ChangeKind uint8

const (
	// ChangeVariable is a system variable of the session.
	ChangeVariable ChangeKind = 0
	// ChangeGTID is the GTID of a transaction that the session has committed, or the
	// executed set.
	ChangeGTID ChangeKind = 3

	changeSchema ChangeKind = 1
)

// keepChanges bounds what is kept for a client whose statements all fail: only OK packets
// carry changes.
const keepChanges = 256

// noteChanges keeps what the session has changed, and the current database.
func (c *conn) noteChanges() {
	if c.caps&capSessionTrack == 0 {
		return
	}
	for _, change := range c.state.Changes {
		if len(c.changes) < keepChanges {
			c.changes = append(c.changes, change)
		}
	}
	c.state.Changes = nil
	if c.state.Database != c.told {
		c.told = c.state.Database
		if !c.state.QuietDatabase {
			c.changes = append(c.changes, Change{Kind: changeSchema, Value: c.told})
		}
	}
}

// appendChanges writes a change as a type and its data, each of whose parts is
// length-encoded:
//
//	0  variable  name, value
//	1  schema    name
//	3  GTIDs     1 byte 0 (the encoding), set
func appendChanges(b []byte, changes []Change) []byte {
	var data []byte
	for _, change := range changes {
		data = data[:0]
		switch change.Kind {
		case ChangeVariable:
			data = appendLenString(data, change.Name)
		case ChangeGTID:
			data = append(data, 0)
		}
		data = appendLenString(data, change.Value)
		b = appendLenString(append(b, byte(change.Kind)), data)
	}
	return b
}
