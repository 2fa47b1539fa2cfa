package main

import (
	"context"
	gosql "database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	backlogSection = "db: pair, backlog"
	lagSection     = "db: pair, lag"
	backlogThreads = 64
	lagWanted      = 100 * time.Millisecond // at most, p99
	beatEvery      = 10 * time.Millisecond
)

// measureBehind prints how fast a replica applies what was written while it was stopped,
// and how far it is behind at half of the primary's maximum. Nobody waits for its
// acknowledgements.
func measureBehind(ctx context.Context, w io.Writer, s settings) error {
	backlog, lag := s.wants(backlogSection), s.wants(lagSection)
	if !backlog && !lag {
		return nil
	}
	setup, err := startPairs(ctx, s, false)
	if err != nil {
		return err
	}
	defer setup.stop()
	var applied, lags strings.Builder
	for _, test := range []string{"update_non_index", "insert"} {
		for _, p := range setup.pairs {
			b := sysbench{test: test, threads: backlogThreads, durable: true}
			most, line, err := p.backlog(ctx, b, s)
			if err != nil {
				return fmt.Errorf("%s, pair of %s: %w", b.name(), p.name, err)
			}
			fmt.Fprint(os.Stderr, backlogSection, line)
			fmt.Fprint(&applied, line)
			if !lag {
				continue
			}
			if line, err = p.lag(ctx, b, s, most/2); err != nil {
				return fmt.Errorf("%s, lag, pair of %s: %w", b.name(), p.name, err)
			}
			fmt.Fprint(os.Stderr, lagSection, line)
			fmt.Fprint(&lags, line)
		}
	}
	fmt.Fprintf(w, `
%d writers for %v while the replica has stopped following; then it follows with the primary idle, until it has executed everything. Nobody waits for acknowledgements.

| test | pair | written/s | applied/s | ratio | CPU µs/commit of the replica | wanted |
|---|---|---|---|---|---|---|
%s`, backlogThreads, s.backlog, applied.String())
	if lag {
		printLags(w, s, lags.String())
	}
	return nil
}

func printLags(w io.Writer, s settings, lines string) {
	fmt.Fprintf(w, `
At half of that rate (sysbench --rate, %d threads, %v): ms from the answer of a commit, one each %v, to the moment at which a reader that asks the replica all the time sees it.

| test | pair | commits/s | p50 | p99 | max | wanted |
|---|---|---|---|---|---|---|
%s`, backlogThreads, s.lagTime(), beatEvery, lines)
}

// lagTime is how long lag is measured.
func (s settings) lagTime() time.Duration { return max(s.backlog/3, time.Second) }

// backlog returns the primary's rate with nobody following, and the line of the table.
func (p *databasePair) backlog(ctx context.Context, b sysbench, s settings) (rate float64, line string, err error) {
	if err := p.primary.ready(ctx, s.rows); err != nil {
		return 0, "", fmt.Errorf("warm up: %w", err)
	}
	if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
		return 0, "", err
	}
	words := "REPLICA"
	if p.name == mariadb {
		words = "SLAVE"
	}
	if _, err := p.replica.client(ctx, "STOP "+words); err != nil {
		return 0, "", err
	}
	text, err := p.primary.sysbench(ctx, b, s.rows, s.backlog)
	if err != nil {
		return 0, "", err
	}
	commits, took := figure(queriesLine, text), figure(timeLine, text)
	if commits == 0 || took == 0 {
		return 0, "", fmt.Errorf("sysbench printed no result: %s", text)
	}
	rate = commits / took
	_, before, err := p.cpu()
	if err != nil {
		return 0, "", err
	}
	begun := time.Now()
	if _, err := p.replica.client(ctx, "START "+words); err != nil {
		return 0, "", err
	}
	if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
		return 0, "", err
	}
	applied := commits / time.Since(begun).Seconds()
	_, after, err := p.cpu()
	if err != nil {
		return 0, "", err
	}
	wanted := ""
	if p.name == stack {
		wanted = verdict(applied/rate, 1)
	}
	return rate, fmt.Sprintf("| %s | %s | %.0f | %.0f | %.2f | %.1f | %s |\n", strings.TrimPrefix(b.name(), "db: "), p.name,
		rate, applied, applied/rate, float64((after-before).Nanoseconds())/1e3/commits, wanted), nil
}

// lag writes at a rate and watches a row.
func (p *databasePair) lag(ctx context.Context, b sysbench, s settings, rate float64) (line string, err error) {
	if err := p.primary.restore(ctx, s.rows); err != nil {
		return "", err
	}
	if _, err := p.primary.client(ctx, "CREATE TABLE IF NOT EXISTS sbtest.beat (id INT PRIMARY KEY, n INT); REPLACE INTO sbtest.beat VALUES (1, 0)"); err != nil {
		return "", err
	}
	if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
		return "", err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var lags []time.Duration
	var failure error
	var watch sync.WaitGroup
	watch.Go(func() { lags, failure = p.watch(watching) })
	text, err := p.primary.sysbenchAt(ctx, b, s.rows, s.lagTime(), rate)
	stop()
	watch.Wait()
	if err = errors.Join(err, failure); err != nil {
		return "", err
	}
	if len(lags) == 0 {
		return "", errors.New("nothing was seen on the replica")
	}
	slices.Sort(lags)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	p99 := lags[len(lags)*99/100]
	wanted := ""
	if p.name == stack {
		wanted = "< 100"
		if p99 >= lagWanted {
			wanted += " (**missed**)"
		}
	}
	return fmt.Sprintf("| %s | %s | %.0f | %.2f | %.2f | %.2f | %s |\n", strings.TrimPrefix(b.name(), "db: "), p.name,
		figure(queriesLine, text)/figure(timeLine, text), ms(lags[len(lags)/2]), ms(p99), ms(lags[len(lags)-1]), wanted), nil
}

// watch changes a row of the primary again and again until ctx ends, and returns how long
// after each answer the replica showed the change.
func (p *databasePair) watch(ctx context.Context) (lags []time.Duration, err error) {
	// What was answered is still looked for when the load has ended.
	work, stop := context.WithTimeout(context.WithoutCancel(ctx), catchUpPatience+time.Hour)
	defer stop()
	sessions := [2]*gosql.Conn{}
	for i := range sessions {
		if sessions[i], err = p.sessions[i].Conn(work); err != nil {
			return nil, err
		}
		defer sessions[i].Close()
	}
	answered := make(chan time.Time, 1<<16) // in order, one for each number
	var wrote error
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		defer close(answered)
		for n := 1; ctx.Err() == nil; n++ {
			if _, wrote = sessions[0].ExecContext(work, "UPDATE sbtest.beat SET n = "+strconv.Itoa(n)+" WHERE id = 1"); wrote != nil {
				return
			}
			answered <- time.Now()
			time.Sleep(beatEvery)
		}
	})
	next, seen := 1, 0
	for at := range answered {
		for seen < next {
			if err := sessions[1].QueryRowContext(work, "SELECT n FROM sbtest.beat WHERE id = 1").Scan(&seen); err != nil {
				return nil, err
			}
			if seen < next {
				time.Sleep(500 * time.Microsecond)
			}
		}
		lags = append(lags, max(0, time.Since(at)))
		next++
	}
	return lags, wrote
}
