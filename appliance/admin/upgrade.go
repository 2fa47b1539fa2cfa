package admin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// upgradeTimeout bounds the wait for a new generation: its start, for db after the hand-over.
const upgradeTimeout = 2 * time.Minute

// Upgrade lets the installed binary take over the nodes behind clients, which share one
// supervisor, and returns when every role runs in a process of the new one.
func Upgrade(ctx context.Context, clients []*Client) error {
	before := make([]Status, len(clients))
	for i, c := range clients {
		if err := c.Get(ctx, "/v1/status", &before[i]); err != nil {
			return err
		}
	}
	if err := clients[0].Post(ctx, "/v1/upgrade", nil, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	for i, c := range clients {
		if err := c.awaitUpgrade(ctx, &before[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) awaitUpgrade(ctx context.Context, before *Status) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	var last error
	for {
		var now Status
		// The socket is silent for a moment while the supervisor executes the new binary.
		if last = c.Get(ctx, "/v1/status", &now); last == nil {
			if now.UpgradeError != "" && now.UpgradeError != before.UpgradeError {
				return errors.New(now.UpgradeError)
			}
			if now.Generation > before.Generation && now.Ready && !sharesProcess(&now, before) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the new generation of %s does not serve yet (%w); `stack status` and the log say more", before.Node, errors.Join(ctx.Err(), last))
		case <-look.C:
		}
	}
}

// sharesProcess tells whether a role still runs in a process of before.
func sharesProcess(now, before *Status) bool {
	old := make(map[int]bool)
	for _, r := range before.Roles {
		old[r.Pid] = true
	}
	for _, r := range now.Roles {
		if old[r.Pid] {
			return true
		}
	}
	return false
}
