package replica

import (
	"fmt"
	"testing"
	"time"

	"stack/roles/db/binlog/event"
)

// What has come to its end is told as received; what is on its way is not.
func TestReceivedTransactions(t *testing.T) {
	log := mysqlLog()
	log = append(log, event.AppendGTID(nil, 1, 1, &event.GTID{Number: 9}))
	v := newReceiver(packets(log, true), false)
	feed(v)
	if got, want := v.heard.whole.String(), "00000000-0000-0000-0000-000000000000:6-8"; got != want {
		t.Errorf("received %s, want %s", got, want)
	}
	if v.heard.forget(); v.heard.whole.String() != "" {
		t.Error("it is not forgotten")
	}
}

// A transaction that comes before it was committed is the work of a clock that was set forward.
func TestSourceClock(t *testing.T) {
	var c sourceClock
	near := func(want time.Time) {
		t.Helper()
		if d := c.now().Sub(want); d < 0 || d > time.Minute {
			t.Errorf("the source's clock shows %v, want %v", c.now(), want)
		}
	}
	begun := time.Now()
	near(begun)
	c.set(begun.Add(-time.Hour), begun)
	near(begun.Add(-time.Hour))
	c.heard(begun.Add(-2 * time.Hour))
	near(begun.Add(-time.Hour))
	c.heard(begun.Add(time.Hour))
	near(begun.Add(time.Hour))
}

// The time of a commit is heard, and that of the server that committed it first is not.
func TestReceiverHearsTheClock(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).UnixMicro() }
	log := [][]byte{artificial("a.1"), event.AppendFormatDescription(nil, 1, 1, 1, "8.0.40"),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6, Original: at(9 * time.Hour), Committed: at(time.Hour)})}
	v := newReceiver(packets(log, true), false)
	v.there = &sourceClock{}
	feed(v)
	if d := v.there.now().Sub(now); d < 59*time.Minute || d > 70*time.Minute {
		t.Error(fmt.Errorf("the source's clock is %v before this one, want an hour", d))
	}
}
