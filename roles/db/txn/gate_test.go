package txn

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// While commits are blocked, what is seen and what is in the log are the same and stay so, under load and with
// several who block.
func TestBlockedCommits(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	stop := make(chan struct{})
	var writers, blockers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := <-insertLater(e, table, int64(n)*1_000_000+i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		blockers.Go(func() {
			for range 30 {
				release, err := e.BlockCommits(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				seen, logged := e.Executed().Seq, e.AckStatus().Logged
				tx := e.Begin(RepeatableRead)
				tx.Rollback()
				if now := e.AckStatus().Logged; seen != logged || now != logged || e.Executed().Seq != seen {
					t.Errorf("%d are seen, %d in the log, then %d", seen, logged, now)
				}
				release()
			}
		})
	}
	blockers.Wait()
	close(stop)
	writers.Wait()
	release, err := e.BlockCommits(ctx)
	must(t, err)
	tx := e.Begin(RepeatableRead)
	must(t, tx.InsertRow(ctx, table, person(-1, "x", 1, "")))
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := tx.Commit(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit that waits and is given up: %v", err)
	}
	client, leave := context.WithCancel(ctx)
	left := insertLater(e, table, -2, func(tx *Txn) { tx.Abandon(client) })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("a commit that waits and whose client leaves: %v", err)
	}
	tx = e.Begin(RepeatableRead)
	must(t, tx.InsertRow(ctx, table, person(-1, "x", 1, ""))) // its lock is free again
	tx.PassBlock()
	must(t, tx.Commit(ctx))
	release()
}

// A client that leaves its commit to itself does not end the wait of who blocks: it is not over.
func TestBlockWaitsForAbandonedCommits(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	client, leave := context.WithCancel(ctx)
	done := insertLater(e, table, 1, func(tx *Txn) { tx.Abandon(client) })
	logged(t, e, 2)
	leave()
	if err := <-done; err == nil {
		t.Fatal("the commit was answered")
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := e.BlockCommits(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commits are blocked while one waits to be seen: %v", err)
	}
	must(t, e.Acknowledge("a", 0, 2))
	release, err := e.BlockCommits(ctx)
	must(t, err)
	expect(t, ids(t, e, table), "[1 m1 1 ]")
	release()
}
