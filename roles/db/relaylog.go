package db

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/binlog/event"
	"stack/roles/db/relay"
	"stack/roles/db/store"
)

// openRelay opens the relay log of a member of a site, and returns the number of the last of this server's own transactions in
// it. One that is damaged is put aside: what was in it comes again, if another server has it, and until then promotions do not
// count on this one.
func (d *data) openRelay(node *config.Node, log *slog.Logger) (own uint64, err error) {
	if alone(node) && !relay.Exists(d.store) {
		return 0, nil
	}
	l, err := relay.Open(d.store, d.db.HasExecuted)
	if errors.Is(err, relay.ErrDamaged) && !alone(node) {
		// Known before it is gone.
		if err := d.store.DB.Set(store.MetaRelayLostKey(), []byte(err.Error()), pebble.Sync); err != nil {
			return 0, err
		}
		aside, failed := relay.PutAside(d.store)
		if failed != nil {
			return 0, fmt.Errorf("%w; put it aside: %w", err, failed)
		}
		log.Error("the relay log is damaged: what was received and not applied has to come again; look at the disk", "error", err, "aside", aside)
		l, err = relay.Open(d.store, d.db.HasExecuted)
	}
	if err != nil {
		return 0, err
	}
	if alone(node) {
		n := l.Pending()
		if err := l.Close(); err != nil || n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("this server has received %d transactions that it has not applied: start it once as it was, among the other database servers of the site, until stack db status shows none", n)
	}
	d.relay = l
	uuid, err := event.ParseUUID(d.store.Server)
	return uint64(l.Last(uuid)), err
}
