package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	ddlRows   = 20_000 // of the table that is changed while clients write it
	ddlClerks = 3      // clients
	ddlKept   = 10     // rows of its own that each client keeps
	ddlFirst  = 1000   // balance at the beginning
	ddlGroups = 50
)

// books are the writers of one table, and what it must hold by what they were answered. In transaction n a
// clerk takes an amount from one account to another, adds a row, deletes one, and writes n into the ledger.
type books struct {
	t     *testing.T
	table atomic.Value // its name, as far as known

	stopping atomic.Bool
	running  sync.WaitGroup
	answered [ddlClerks]int64 // transactions; of the clerk alone while it runs
	sent     [ddlClerks]bool  // a COMMIT that was not answered

	balance [ddlRows]int64 // after the transactions that judged counts
	judged  [ddlClerks]int64
}

func newBooks(t *testing.T) *books {
	b := &books{t: t}
	b.table.Store("acct")
	for i := range b.balance {
		b.balance[i] = ddlFirst
	}
	return b
}

// open makes the tables.
func (b *books) open(k *ddlServer) {
	k.exec("CREATE TABLE acct (id INT NOT NULL PRIMARY KEY, grp INT NOT NULL, bal INT NOT NULL, code VARCHAR(40) NOT NULL, memo VARCHAR(200), KEY grp (grp), KEY bal (bal))",
		"CREATE TABLE ledger (clerk INT PRIMARY KEY, n BIGINT NOT NULL)")
	for c := range ddlClerks {
		k.exec(fmt.Sprintf("INSERT INTO ledger VALUES (%d, 0)", c))
	}
}

// fill adds the accounts.
func (b *books) fill(k *ddlServer) {
	const each = 1000
	for from := 0; from < ddlRows; from += each {
		var values []string
		for id := from; id < from+each; id++ {
			values = append(values, fmt.Sprintf("(%d, %d, %d, 'c%d', REPEAT('memo ', %d))", id, groupOf(id), ddlFirst, id, id%30))
		}
		k.exec("INSERT INTO acct VALUES " + strings.Join(values, ", "))
	}
}

func groupOf(n int) int { return n%ddlGroups + 1 }

// own is the id of the row that a clerk's transaction adds.
func own(clerk int, n int64) int64 { return int64(clerk+1)*1_000_000 + n }

// transfer is what a transaction does to the accounts.
func transfer(clerk int, n int64) (from, to int, amount int64) {
	r := rand.New(rand.NewPCG(uint64(clerk), uint64(n)))
	return r.IntN(ddlRows), r.IntN(ddlRows), 1 + r.Int64N(9)
}

// start lets the clerks write, until stop or until the server is gone.
func (b *books) start(db *sql.DB) {
	b.stopping.Store(false)
	for clerk := range ddlClerks {
		b.running.Go(func() {
			conn, err := db.Conn(context.Background())
			if err != nil {
				return // killed already
			}
			defer conn.Close()
			for !b.stopping.Load() && b.write(conn, clerk) {
				time.Sleep(time.Millisecond) // the clerks are not to take the machine from the DDL
			}
		})
	}
}

func (b *books) stop() {
	b.stopping.Store(true)
	b.running.Wait()
}

// write runs a clerk's next transaction; false: the server is gone.
func (b *books) write(conn *sql.Conn, clerk int) bool {
	n, table := b.answered[clerk]+1, b.table.Load().(string)
	from, to, amount := transfer(clerk, n)
	for _, text := range []string{
		"BEGIN",
		fmt.Sprintf("UPDATE %s SET bal = bal - %d WHERE id = %d", table, amount, from),
		fmt.Sprintf("UPDATE %s SET bal = bal + %d WHERE id = %d", table, amount, to),
		fmt.Sprintf("INSERT INTO %s (id, grp, bal, code) VALUES (%d, %d, 0, 'w%d-%d')", table, own(clerk, n), groupOf(int(n)), clerk, n),
		fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, own(clerk, n-ddlKept)),
		fmt.Sprintf("UPDATE ledger SET n = %d WHERE clerk = %d", n, clerk),
		"COMMIT",
	} {
		b.sent[clerk] = text == "COMMIT"
		_, err := conn.ExecContext(context.Background(), text)
		var refused *mysql.MySQLError
		switch {
		case err == nil:
		case errors.As(err, &refused):
			return b.again(conn, text, refused)
		default:
			return false
		}
	}
	b.answered[clerk], b.sent[clerk] = n, false
	return true
}

// again rolls a transaction back that was refused; false where that is no reason to run it again.
func (b *books) again(conn *sql.Conn, text string, refused *mysql.MySQLError) bool {
	switch refused.Number {
	case 1146: // renamed
		other := map[any]string{"acct": "acct_away", "acct_away": "acct"}
		was := b.table.Load()
		b.table.CompareAndSwap(was, other[was])
	case 1205, 1213: // others were in the way
	case 1053: // the server stops
		return false
	default:
		b.t.Errorf("%s: %v", text, refused)
		return false
	}
	_, err := conn.ExecContext(context.Background(), "ROLLBACK")
	return err == nil
}

// judge compares a server's rows with what the clerks, who do not run, were answered.
func (b *books) judge(k *ddlServer, table string) {
	b.t.Helper()
	for _, row := range k.rows("SELECT clerk, n FROM ledger") {
		var clerk int
		var n int64
		fmt.Sscan(row[0]+" "+row[1], &clerk, &n)
		if n != b.answered[clerk] && !(b.sent[clerk] && n == b.answered[clerk]+1) {
			b.t.Fatalf("clerk %d was answered transaction %d (another one sent: %v), and %s has %d", clerk, b.answered[clerk], b.sent[clerk], k.name(), n)
		}
		b.answered[clerk], b.sent[clerk] = n, false
		for ; b.judged[clerk] < n; b.judged[clerk]++ {
			from, to, amount := transfer(clerk, b.judged[clerk]+1)
			b.balance[from] -= amount
			b.balance[to] += amount
		}
	}
	want := map[string]string{}
	for id, balance := range b.balance {
		want[fmt.Sprint(id)] = fmt.Sprintf("%d %d c%d", groupOf(id), balance, id)
	}
	for clerk, last := range b.answered {
		for n := max(1, last-ddlKept+1); n <= last; n++ {
			want[fmt.Sprint(own(clerk, n))] = fmt.Sprintf("%d 0 w%d-%d", groupOf(int(n)), clerk, n)
		}
	}
	var wrong []string
	for _, row := range k.rows("SELECT id, grp, bal, code FROM " + table) {
		if got := strings.Join(row[1:], " "); got != want[row[0]] {
			wrong = append(wrong, fmt.Sprintf("row %s: %q, want %q", row[0], got, want[row[0]]))
		}
		delete(want, row[0])
	}
	for id, row := range want {
		wrong = append(wrong, fmt.Sprintf("row %s is lost: %q", id, row))
	}
	if len(wrong) > 0 {
		b.t.Errorf("%s has %d wrong rows: %s", k.name(), len(wrong), strings.Join(wrong[:min(10, len(wrong))], "; "))
	}
}
