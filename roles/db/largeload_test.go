package db

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	loadFlag       = flag.Int("load", 512, "MiB that TestLargeLoad loads")
	loadMemoryFlag = flag.Int("load-memory", 64, "db.memory of TestLargeLoad, MiB")
)

// A LOAD DATA of a file many times as large as what a transaction keeps in memory (4 MiB
// here), in one transaction, while another client commits every 10 ms: the resident memory
// grows by a fraction of the file, and the commits of the other go on. In the long form, of -load
// MiB, no commit may stand still for 100 ms longer than the disk does.
func TestLargeLoad(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory hides that of the server")
	}
	// 24 MiB kept in memory as the changes of one transaction were 44 MiB and more; spilled
	// they are 3 to 10, most of it the garbage collector's slack.
	size, warm, most := int64(24<<20), int64(6<<20), int64(24<<20)
	if !testing.Short() {
		size, warm, most = int64(*loadFlag)<<20, 24<<20, 80<<20
	}
	node := testNode(t)
	node.DB.Memory = int64(*loadMemoryFlag) << 20
	t.Setenv("GOMEMLIMIT", strconv.FormatInt(node.DB.Memory, 10)) // as the supervisor sets it
	if node.DB.Memory > 64<<20 {
		most = 200 << 20
	}
	p := startProcess(t, node)
	db := p.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE big (id BIGINT PRIMARY KEY, k INT, a VARCHAR(120), b VARCHAR(60), KEY (k))",
		"CREATE TABLE small (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))")
	// What a server needs that has worked for a while is no growth.
	mysql.RegisterReaderHandler("warm", func() io.Reader { return &rowsFile{left: warm, id: 1 << 40} })
	mustExec(t, db.Exec, "LOAD DATA LOCAL INFILE 'Reader::warm' INTO TABLE big")

	before := residentOf(t, p.cmd.Process.Pid)
	stalls := watchStalls(t, func() {
		if _, err := db.Exec("INSERT INTO small (v) VALUES ('x')"); err != nil {
			t.Error(err)
		}
	})
	peak, stop := watchResident(t, p.cmd.Process.Pid)
	mysql.RegisterReaderHandler("large", func() io.Reader { return &rowsFile{left: size, id: 1} })
	begun := time.Now()
	result, err := db.Exec("LOAD DATA LOCAL INFILE 'Reader::large' INTO TABLE big")
	took := time.Since(begun)
	stop()
	own := stalls.end(t)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := result.RowsAffected()
	t.Logf("%d MiB, %d rows in %v; db.memory %d MiB, resident %d + %d MiB", size>>20, rows, took, node.DB.Memory>>20, before>>20, (*peak-before)>>20)
	if grown := *peak - before; grown > most {
		t.Errorf("memory grew by %d MiB while a file of %d MiB was loaded", grown>>20, size>>20)
	}
	if !testing.Short() && own > 100*time.Millisecond {
		t.Errorf("a commit took %v longer than the disk", own)
	}
	var n int64
	if err := db.QueryRow("SELECT COUNT(*) FROM big WHERE id < 1 << 40").Scan(&n); err != nil || n != rows {
		t.Errorf("%d rows of %d, %v", n, rows, err)
	}
}

// watchResident watches the resident memory of a process until stop is called; peak is the most
// then, bytes.
func watchResident(t *testing.T, pid int) (peak *int64, stop func()) {
	peak = new(int64)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				*peak = max(*peak, residentOf(t, pid))
			}
		}
	})
	return peak, func() { close(done); wait.Wait() }
}

// rowsFile is a file of rows for the table big, about left bytes.
type rowsFile struct {
	left, id int64
	rest     []byte
}

func (r *rowsFile) Read(p []byte) (int, error) {
	for r.left > 0 && len(r.rest) < len(p) {
		before := len(r.rest)
		k := uint64(r.id) * 0x9e3779b97f4a7c15
		r.rest = fmt.Appendf(r.rest, "%d\t%d\t68487932199-96439406143-93774651418-41631865787-96406072701-20604855487-%d\t67847967377-48000963322-62604785301-%d\n", r.id, k>>44, k, k>>20)
		r.left, r.id = r.left-int64(len(r.rest)-before), r.id+1
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = append(r.rest[:0], r.rest[n:]...)
	return n, nil
}

// residentOf is a process's resident memory, bytes.
func residentOf(t *testing.T, pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Errorf("process %d has no VmRSS", pid)
	return 0
}
