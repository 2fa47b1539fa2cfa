package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// clientSessionTrack is CLIENT_SESSION_TRACK of the protocol.
const clientSessionTrack = 1 << 23

// refuseTracking refuses what the server would not tell a client that asks for it.
func refuseTracking(name string, value any) error {
	switch name = strings.ToLower(name); name {
	case "session_track_state_change", "session_track_transaction_info":
		switch v := value.(type) {
		case nil:
			return nil
		case string:
			if strings.EqualFold(v, "off") {
				return nil
			}
		default:
			if fmt.Sprint(v) == "0" || fmt.Sprint(v) == "false" {
				return nil
			}
		}
		return notAvailable(name)
	}
	return nil
}

// noteVariable keeps a change of a variable for a client that tracks it
// (session_track_system_variables).
func (s *Session) noteVariable(name string) {
	if s.client.Capabilities&clientSessionTrack == 0 || !s.tracks(name) {
		return
	}
	v, err := s.GetSessionVariable(nil, name)
	if err != nil {
		return
	}
	text := fmt.Sprint(v)
	if sv, _, ok := gms.SystemVariables.GetGlobal(name); ok && v != nil {
		if _, isBool := sv.GetType().(types.SystemBoolType); isBool {
			text = "OFF"
			if isOn(v) {
				text = "ON"
			}
		}
	}
	if v == nil {
		text = ""
	}
	s.changes = append(s.changes, wire.Change{Kind: wire.ChangeVariable, Name: strings.ToLower(name), Value: text})
}

func (s *Session) tracks(name string) bool {
	v, err := s.GetSessionVariable(nil, "session_track_system_variables")
	list, _ := v.(string)
	if err != nil {
		return false
	}
	for _, tracked := range strings.Split(list, ",") {
		if tracked = strings.TrimSpace(tracked); tracked == "*" || strings.EqualFold(tracked, name) {
			return true
		}
	}
	return false
}

// noteCommit keeps the position of a commit for a client that tracks it
// (session_track_gtids).
func (s *Session) noteCommit(tx *txn.Txn) {
	track := s.settingsNow().trackGTIDs
	pos := tx.Position()
	if track == "" || track == "OFF" || pos.Seq == 0 || s.client.Capabilities&clientSessionTrack == 0 {
		return
	}
	set := fmt.Sprintf("%s:%d", pos.Server, pos.Seq)
	if track == "ALL_GTIDS" {
		set = s.engine.db.ExecutedSet()
	}
	s.changes = append(s.changes, wire.Change{Kind: wire.ChangeGTID, Value: set})
}
