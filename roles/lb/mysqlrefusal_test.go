package lb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
)

// Clients of a pool of MySQL servers of which none can be used are told so in their protocol, on
// every connection, and each connection ends.
func TestMySQLClientsAreRefusedInTheirProtocol(t *testing.T) {
	addr := freePort(t)
	lb := tcpLB(listen(addr), at("a", refusing(t)))
	lb.Backends[0].Check = config.Check{Type: "mysql", Interval: 100 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1}
	b := start(t, lb)
	text := "\xff\x1d\x04No server of db can be used at the moment: try again"
	want := string([]byte{byte(len(text)), 0, 0, 0}) + text
	for range 3 {
		c, err := net.DialTimeout("tcp", addr.String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	connector, err := mysql.NewConnector(&mysql.Config{User: "u", Net: "tcp", Addr: addr.String(), Logger: &mysql.NopLogger{}, AllowNativePasswords: true})
	if err != nil {
		t.Fatal(err)
	}
	var refused *mysql.MySQLError
	if _, err := connector.Connect(context.Background()); !errors.As(err, &refused) || refused.Number != 1053 || !strings.Contains(refused.Message, "try again") {
		t.Errorf("the Go driver says %v", err)
	}
	if _, err := exec.LookPath("mariadb"); err == nil {
		out, err := exec.Command("mariadb", "--no-defaults", "-h", addr.Addr().String(), "-P", fmt.Sprint(addr.Port()), "-e", "SELECT 1").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "1053") || !strings.Contains(string(out), "try again") {
			t.Errorf("the mariadb client: %v %s", err, out)
		}
	}
	eventually(t, "no connection is open", func() bool { return b.metric("stack_lb_frontend_connections") == 0 })
}
