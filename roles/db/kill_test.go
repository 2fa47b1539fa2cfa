package db

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")

// killed is a server that is killed once a second and started again, at another port each time.
type killed struct {
	t    *testing.T
	node *config.Node
	p    *process
	addr atomic.Pointer[netip.AddrPort]
	net  string // of the driver: dials the server of now
	seed uint64
}

var killedServers atomic.Int64

func startKilled(t *testing.T) *killed {
	k := &killed{t: t, node: testNode(t), net: fmt.Sprint("killed", killedServers.Add(1)), seed: *seedFlag}
	if k.seed == 0 {
		k.seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", k.seed)
	k.node.DB.LockWaitTimeout = 2 * time.Second
	mysql.RegisterDialContext(k.net, func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", k.addr.Load().String())
	})
	k.restart()
	return k
}

func (k *killed) restart() {
	k.p = startProcess(k.t, k.node)
	k.addr.Store(&k.p.addr)
}

// client is a pool of one connection, which is opened anew where it breaks.
func (k *killed) client() *sql.DB {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr = "root", k.p.secret("db-root"), "wordpress", k.net, "now"
	c.AllowNativePasswords, c.InterpolateParams = true, true
	c.Logger = &mysql.NopLogger{} // connections are expected to break
	connector, err := mysql.NewConnector(c)
	if err != nil {
		k.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	k.t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	return db
}

// run lets clients work while the server is killed once a second; it ends with the server
// up. Each has a source of random numbers of its own.
func (k *killed) run(clients int, work func(ctx context.Context, client int, r *rand.Rand)) {
	kills := 60
	if testing.Short() {
		kills = 5
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() { work(ctx, c, rand.New(rand.NewPCG(k.seed, uint64(c)))) })
	}
	for range kills {
		time.Sleep(time.Second)
		k.p.kill()
		k.restart()
	}
	time.Sleep(time.Second / 2)
	stop()
	wg.Wait()
}

// try runs a transaction. A step that fails has it rolled back; what becomes of a
// commit whose answer is not known, nobody knows.
func try(db *sql.DB, level sql.IsolationLevel, steps func(tx *sql.Tx) error) outcome {
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	if err != nil {
		time.Sleep(5 * time.Millisecond) // it is down
		return rolledBack
	}
	if err := steps(tx); err != nil {
		tx.Rollback()
		return rolledBack
	}
	err = tx.Commit()
	if answer := new(mysql.MySQLError); errors.As(err, &answer) {
		return rolledBack
	} else if err != nil {
		return unknown
	}
	return committed
}

// Clients append to lists and read them while the server is killed, at the level at which
// nothing may be seen of others that are under way, and at the default level with locking
// reads. The history has no anomaly that the level forbids.
func TestListsAreAppendedUnderKill(t *testing.T) {
	for _, serializable := range []bool{true, false} {
		t.Run(fmt.Sprintf("serializable %v", serializable), func(t *testing.T) { appendUnderKill(t, serializable) })
	}
}

const (
	checkClients  = 16
	openLists     = 8   // at one time
	listsLiveFor  = 400 // transactions, until others are taken
	stepsAtMost   = 4
	accountsCount = 20
)

func appendUnderKill(t *testing.T, serializable bool) {
	k := startKilled(t)
	root := k.client()
	mustExec(t, root.Exec, "CREATE TABLE list (id INT PRIMARY KEY, v TEXT NOT NULL)")
	level, locking := sql.LevelSerializable, ""
	if !serializable {
		level, locking = sql.LevelRepeatableRead, " FOR UPDATE"
	}
	var begun, next atomic.Int64
	var histories [checkClients][]transaction
	k.run(checkClients, func(ctx context.Context, client int, r *rand.Rand) {
		db := k.client()
		for ctx.Err() == nil {
			first := int(begun.Add(1)) / listsLiveFor * openLists
			a := &appender{locking: locking}
			o := try(db, level, func(tx *sql.Tx) error {
				for range 1 + r.IntN(stepsAtMost) {
					list := first + r.IntN(openLists)
					var err error
					switch r.IntN(3) {
					case 0:
						_, _, err = a.read(tx, list)
					case 1:
						err = a.append(tx, list, int(next.Add(1)))
					default:
						err = a.readAndWrite(tx, list, int(next.Add(1)))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			histories[client] = append(histories[client], transaction{client, o, a.steps})
		}
	})
	h := &history{transactions: slices.Concat(histories[:]...), final: map[int]string{}}
	rows, err := root.Query("SELECT id, v FROM list")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var v string
		if err := rows.Scan(&id, &v); err != nil {
			t.Fatal(err)
		}
		h.final[id] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	ends := map[outcome]int{}
	for _, tx := range h.transactions {
		ends[tx.outcome]++
	}
	t.Logf("%d transactions committed, %d rolled back, %d unknown; %d lists", ends[committed], ends[rolledBack], ends[unknown], len(h.final))
	if ends[committed] < 100 {
		t.Error("too few to tell")
	}
	for _, problem := range h.check(serializable) {
		t.Error(problem)
	}
}

// appender does the steps of one transaction and keeps what it did.
type appender struct {
	locking string
	steps   []access
}

func (a *appender) read(tx *sql.Tx, list int) (text string, there bool, err error) {
	err = tx.QueryRow("SELECT v FROM list WHERE id = ?"+a.locking, list).Scan(&text)
	there = err == nil
	if there || errors.Is(err, sql.ErrNoRows) {
		err = nil
		a.steps = append(a.steps, access{list: list, read: text})
	}
	return text, there, err
}

// append lets the server do it in one statement.
func (a *appender) append(tx *sql.Tx, list, value int) error {
	a.steps = append(a.steps, access{list: list, value: value})
	text := strconv.Itoa(value)
	_, err := tx.Exec("INSERT INTO list VALUES (?, ?) ON DUPLICATE KEY UPDATE v = CONCAT(v, ?)", list, text, ","+text)
	return err
}

// readAndWrite does it here: an update in between would be lost.
func (a *appender) readAndWrite(tx *sql.Tx, list, value int) error {
	text, there, err := a.read(tx, list)
	if err != nil {
		return err
	}
	a.steps = append(a.steps, access{list: list, value: value})
	if there {
		_, err = tx.Exec("UPDATE list SET v = ? WHERE id = ?", text+","+strconv.Itoa(value), list)
	} else {
		_, err = tx.Exec("INSERT INTO list VALUES (?, ?)", list, strconv.Itoa(value))
	}
	return err
}

// Money goes from account to account while the server is killed. Every reader sees all of
// it at all times, and each transfer that was answered is there once.
func TestMoneyIsKeptUnderKill(t *testing.T) {
	const each = 100
	k := startKilled(t)
	root := k.client()
	mustExec(t, root.Exec, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)",
		"CREATE TABLE transfer (client INT, n INT, giver INT, taker INT, amount INT, PRIMARY KEY (client, n), KEY (giver), KEY (taker))")
	for id := range accountsCount {
		mustExec(t, root.Exec, fmt.Sprintf("INSERT INTO account VALUES (%d, %d)", id, each))
	}
	var ends [checkClients][]outcome
	var reads atomic.Int64
	k.run(checkClients, func(ctx context.Context, client int, r *rand.Rand) {
		db := k.client()
		level := []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelReadCommitted, sql.LevelSerializable}[client%3]
		for ctx.Err() == nil {
			if r.IntN(4) == 0 {
				var sum int
				o := try(db, level, func(tx *sql.Tx) error { return tx.QueryRow("SELECT SUM(balance) FROM account").Scan(&sum) })
				if o == committed {
					reads.Add(1)
					if sum != accountsCount*each {
						t.Errorf("a reader saw %d", sum)
					}
				}
				continue
			}
			n, from, to, amount := len(ends[client]), r.IntN(accountsCount), r.IntN(accountsCount), 1+r.IntN(10)
			ends[client] = append(ends[client], try(db, level, func(tx *sql.Tx) error {
				var balance int
				if err := tx.QueryRow("SELECT balance FROM account WHERE id = ? FOR UPDATE", from).Scan(&balance); err != nil {
					return err
				}
				if balance < amount {
					return errors.New("not enough")
				}
				for _, q := range []string{
					fmt.Sprintf("UPDATE account SET balance = %d WHERE id = %d", balance-amount, from),
					fmt.Sprintf("UPDATE account SET balance = balance + %d WHERE id = %d", amount, to),
					fmt.Sprintf("INSERT INTO transfer VALUES (%d, %d, %d, %d, %d)", client, n, from, to, amount),
				} {
					if _, err := tx.Exec(q); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	})
	there := map[[2]int]bool{}
	rows, err := root.Query("SELECT client, n FROM transfer")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var client, n int
		if err := rows.Scan(&client, &n); err != nil {
			t.Fatal(err)
		}
		there[[2]int{client, n}] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	count := map[outcome]int{}
	for client, all := range ends {
		for n, o := range all {
			count[o]++
			if got := there[[2]int{client, n}]; o == committed && !got || o == rolledBack && got {
				t.Errorf("transfer %d of client %d: outcome %d, there: %v", n, client, o, got)
			}
		}
	}
	t.Logf("%d transfers committed, %d rolled back, %d unknown; %d sums read", count[committed], count[rolledBack], count[unknown], reads.Load())
	if count[committed] < 100 || reads.Load() < 50 {
		t.Error("too few to tell")
	}
	var wrong int
	err = root.QueryRow(fmt.Sprintf(`SELECT COUNT(*) FROM account WHERE balance <> %d
		- (SELECT COALESCE(SUM(amount), 0) FROM transfer WHERE giver = account.id)
		+ (SELECT COALESCE(SUM(amount), 0) FROM transfer WHERE taker = account.id)`, each)).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("%d accounts do not hold what was moved (%v)", wrong, err)
	}
}
