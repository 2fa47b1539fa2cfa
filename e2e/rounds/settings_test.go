package rounds

import (
	"fmt"
	"time"
)

// setting is a kind of site, and what it promises.
type setting struct {
	replicas    int
	ack, policy string        // db.ack, db.ack_policy
	timeout     time.Duration // db.ack_timeout
	// replicasShowWhatStays: what a client has read on a replica is never lost. With ack: one no replica has what a
	// promotion may leave behind; with majority one shows what it has, which may be on fewer servers than commits wait for.
	replicasShowWhatStays bool
}

// settings are the sites, of which the first get what is left over of the rounds.
var settings = []setting{
	{replicas: 3, ack: "majority", policy: "strict", timeout: 2 * time.Second, replicasShowWhatStays: true},
	{replicas: 1, ack: "one", policy: "strict", timeout: 2 * time.Second, replicasShowWhatStays: true},
	{replicas: 1, ack: "one", policy: "degrade", timeout: 300 * time.Millisecond, replicasShowWhatStays: true},
	{replicas: 2, ack: "one", policy: "strict", timeout: 2 * time.Second, replicasShowWhatStays: true},
	{replicas: 3, ack: "one", policy: "strict", timeout: 2 * time.Second, replicasShowWhatStays: true},
	{replicas: 3, ack: "majority", policy: "degrade", timeout: 300 * time.Millisecond, replicasShowWhatStays: true},
}

// share is how many of n rounds the setting with this index gets.
func share(n, index int) int { return (n + len(settings) - 1 - index) / len(settings) }

// need is how many replicas commits wait for.
func (s setting) need() int {
	if s.ack == "majority" {
		return (s.replicas + 1) / 2
	}
	return 1
}

// degrades: where replicas are silent, commits are answered without them, and may be lost.
func (s setting) degrades() bool { return s.policy == "degrade" }

func (s setting) String() string {
	return fmt.Sprintf("replicas=%d-%s-%s", s.replicas, s.ack, s.policy)
}
