package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The mariadb client reads a dump and asks for what was in it.
func TestImportWithTheClient(t *testing.T) {
	r := start(t, testNode(t))
	dump, err := os.ReadFile("sql/testdata/dump.sql")
	if err != nil {
		t.Fatal(err)
	}
	blog, err := os.ReadFile("sql/testdata/blog.sql")
	if err != nil {
		t.Fatal(err)
	}
	user, pw := "wordpress", r.secret("db-wordpress")
	if out, err := r.mariadb(user, pw, "wordpress", string(dump)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := r.mariadb(user, pw, "wordpress", "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';\n"+string(blog)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := r.mariadb(user, pw, "wordpress", `SELECT name, amount FROM supply ORDER BY name;
DELIMITER //
CREATE TRIGGER sold AFTER UPDATE ON stock FOR EACH ROW BEGIN
  IF NEW.amount < OLD.amount THEN UPDATE item SET note = CONCAT('sold ', OLD.amount - NEW.amount) WHERE id = NEW.item; END IF;
END//
DELIMITER ;
UPDATE stock SET amount = amount - 2 WHERE item = 1; SELECT note FROM item WHERE id = 1; SHOW TABLES;`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"chair\t5", "táble\t7", "sold 2", "wp_postmeta"} {
		if !strings.Contains(out, want) {
			t.Errorf("the answer lacks %q:\n%s", want, out)
		}
	}
}

// A mix of reads and writes from several clients keeps sums and indexes right.
func TestMixedLoad(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	const accounts, clients = 40, 6
	mustExec(t, db.Exec, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL, tag VARCHAR(20), KEY (balance), KEY (tag))",
		"CREATE TABLE transfer (id BIGINT AUTO_INCREMENT PRIMARY KEY, a INT, b INT, amount INT, FOREIGN KEY (a) REFERENCES account (id))")
	for i := range accounts {
		mustExec(t, db.Exec, fmt.Sprintf("INSERT INTO account VALUES (%d, 100, 'tag%d')", i, i%5))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for c := range clients {
		pool := r.rootDB("wordpress")
		seed := uint64(c) + 1
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(seed, 7))
			for ctx.Err() == nil {
				var err error
				if rnd.IntN(3) == 0 {
					var sum int
					if err = pool.QueryRow("SELECT SUM(balance) FROM account").Scan(&sum); err == nil && sum != accounts*100 {
						t.Errorf("a reader saw a sum of %d", sum)
					}
				} else {
					err = transfer(pool, rnd.IntN(accounts), rnd.IntN(accounts), rnd.IntN(20), rnd.IntN(5) == 0)
				}
				// Transfers in both directions at once wait for each other: one is to be run again.
				if victim := new(mysql.MySQLError); errors.As(err, &victim) && victim.Number == 1213 {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	var sum, moved, kept int
	if err := db.QueryRow("SELECT SUM(balance) FROM account").Scan(&sum); err != nil || sum != accounts*100 {
		t.Errorf("the sum is %d (%v)", sum, err)
	}
	if err := db.QueryRow("SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM transfer").Scan(&kept, &moved); err != nil || kept == 0 {
		t.Errorf("%d transfers (%v)", kept, err)
	}
	report, err := r.role.data.db.Check(context.Background(), nil)
	if err != nil || !report.OK() {
		t.Errorf("%v %+v", err, report)
	}
}

func transfer(db *sql.DB, a, b, amount int, undo bool) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var balance int
	if err := tx.QueryRow("SELECT balance FROM account WHERE id = ? FOR UPDATE", a).Scan(&balance); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE account SET balance = ? WHERE id = ?", balance-amount, a); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE account SET balance = balance + ? WHERE id = ?", amount, b); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO transfer (a, b, amount) VALUES (?, ?, ?)", a, b, amount); err != nil {
		return err
	}
	if undo {
		return tx.Rollback()
	}
	return tx.Commit()
}

// A role that was opened and closed leaves no goroutine and no descriptor.
func TestCloseLeavesNothing(t *testing.T) {
	node := testNode(t)
	r := start(t, node)
	use := func() {
		db := r.rootDB("wordpress")
		mustExec(t, db.Exec, "CREATE TABLE IF NOT EXISTS t (id INT)", "INSERT INTO t VALUES (1)")
		r.close()
		db.Close()
		r.open()
	}
	use()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for range 3 {
		use()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > goroutines+2 || openDescriptors(t) > descriptors {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before; %d descriptors, %d before", runtime.NumGoroutine(), goroutines, openDescriptors(t), descriptors)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
